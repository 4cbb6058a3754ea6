"""Turns the records of a run into the table and the verdict."""

from statistics import median

OURS = "parados"
# Without these there is no verdict.
PEERS = ("restic", "borg", "rustic", "bupstash")
# Shown where it can be had.
GUESTS = ("kopia",)
# Those that Parados must beat at every step of every tree.
BEATEN = ("restic", "borg")
# What a peer cannot do: bupstash has no check.
NO_STEP = {("bupstash", "check")}
STEPS = ("first", "unchanged", "changed", "restore", "check")
STORED = ("first", "changed")
MEASURES = ("wall", "cpu")

# Exit codes.
HOLDS, FAILS, NO_VERDICT = 0, 1, 3


class Figures:
    """The medians over repetitions, and what went wrong."""

    def __init__(self, records):
        # Records may be those of several runs, one after another.
        begins = [i for i, r in enumerate(records) if r["record"] == "run"]
        records = records[begins[-1]:] if begins else records
        self.facts = records[0].get("facts", {}) if records else {}
        self.steps = [r for r in records if r["record"] == "step"]
        self.trees = list(dict.fromkeys(r["tree"] for r in self.steps))
        ran = {r["tool"] for r in self.steps}
        self.tools = [tool for tool in (OURS, *PEERS, *GUESTS) if tool in ran]
        self.failures = [
            f"{r['tool']} {r['step']} {r['tree']}: "
            + (f"exit code {r['exit']}" if r["exit"] else "what came back differs from the source")
            for r in self.steps
            if r["exit"] or r.get("same") is False
        ]

    def get(self, tree, step, tool, measure):
        """None where the tool has no such step, or failed at it."""
        values = [
            r[measure]
            for r in self.steps
            if (r["tree"], r["step"], r["tool"]) == (tree, step, tool)
            and measure in r and not r["exit"]
        ]
        return median(values) if values else None

    def ratio(self, tree, step, peer, measure):
        ours, theirs = (self.get(tree, step, tool, measure) for tool in (OURS, peer))
        return None if ours is None or theirs is None else ours / max(theirs, 1e-9)


def table(figures):
    """Lines of Markdown: what each step cost each tool, then what was stored."""
    head = [f"{tool} wall s / cpu s / peak MiB" for tool in figures.tools]
    yield "| tree, step | " + " | ".join(head) + " |"
    yield "| --- |" + " --- |" * len(head)
    for tree in figures.trees:
        for step in STEPS:
            cells = [cost(figures, tree, step, tool) for tool in figures.tools]
            if any(cells):
                yield f"| {tree} {step} | " + " | ".join(c or "-" for c in cells) + " |"
        for step in STORED:
            stored = [figures.get(tree, step, tool, "stored_bytes") for tool in figures.tools]
            if any(stored):
                cells = [f"{s / 1e6:.1f} MB" if s is not None else "-" for s in stored]
                yield f"| {tree} stored after {step} | " + " | ".join(cells) + " |"


def cost(figures, tree, step, tool):
    wall, cpu, memory = (figures.get(tree, step, tool, m) for m in (*MEASURES, "memory_bytes"))
    return None if wall is None else f"{wall:.2f} / {cpu:.2f} / {memory / 2**20:.0f}"


def ratios(figures, peers):
    """Lines of Markdown: Parados divided by each peer."""
    yield "| tree, step | " + " | ".join(f"{OURS} : {p} wall / cpu" for p in peers) + " |"
    yield "| --- |" + " --- |" * len(peers)
    for tree in figures.trees:
        for step in STEPS:
            rows = [[figures.ratio(tree, step, peer, m) for m in MEASURES] for peer in peers]
            if any(None not in row for row in rows):
                cells = ["-" if None in row else f"{row[0]:.2f} / {row[1]:.2f}" for row in rows]
                yield f"| {tree} {step} | " + " | ".join(cells) + " |"
        for step in STORED:
            row = [figures.ratio(tree, step, peer, "stored_bytes") for peer in peers]
            if any(r is not None for r in row):
                cells = ["-" if r is None else f"{r:.3f}" for r in row]
                yield f"| {tree} stored after {step} | " + " | ".join(cells) + " |"


def slower(figures, peers, measures=MEASURES):
    """Where Parados does not beat one of `peers`."""
    for tree in figures.trees:
        for step in STEPS:
            for peer in peers:
                for measure in measures:
                    ratio = figures.ratio(tree, step, peer, measure)
                    if ratio is not None and ratio >= 1:
                        yield f"{tree} {step}: {measure} is {ratio:.2f} of {peer}"


def larger(figures):
    """Where Parados stores more than the better of the peers it must beat."""
    for tree in figures.trees:
        for step in STORED:
            stored = [figures.get(tree, step, peer, "stored_bytes") for peer in BEATEN]
            ours = figures.get(tree, step, OURS, "stored_bytes")
            if ours is not None and None not in stored and ours > min(stored):
                yield f"{tree} stored after {step}: {ours / min(stored):.3f} of the better one"


def missing(figures):
    """Steps without a figure that a verdict needs."""
    for tree in figures.trees:
        for step in STEPS:
            # A directory of the user is never changed.
            ran = [figures.get(tree, step, tool, "wall") for tool in figures.tools]
            if step == "changed" and not any(ran):
                continue
            for tool in (OURS, *PEERS):
                if (tool, step) in NO_STEP:
                    continue
                if figures.get(tree, step, tool, "wall") is None:
                    yield f"{tool} has no figure for {step} of {tree}"


def verdict(figures):
    """The lines of the verdict, and the exit code."""
    lacking = [tool for tool in (OURS, *PEERS) if tool not in figures.tools]
    if lacking:
        return [f"no verdict: {', '.join(lacking)} did not run"], NO_VERDICT
    holes = list(missing(figures))
    if holes:
        return ["no verdict: " + "; ".join(holes), *figures.failures], NO_VERDICT
    broken = [f for f in figures.failures if f.split()[0] == OURS]
    faults = [*broken, *slower(figures, BEATEN), *larger(figures)]
    trees = ", ".join(figures.trees)
    lines = [
        f"verdict on {trees}: Parados beats restic and borg at every step, in wall and CPU time, "
        f"and stores no more than the better of them: {'no' if faults else 'yes'}"]
    lines += [f"- {fault}" for fault in faults]
    others = [peer for peer in (*PEERS, *GUESTS) if peer not in BEATEN]
    lines += [f"- beyond that, {fault}" for fault in slower(figures, others)]
    lines += [f"- failed: {f}" for f in figures.failures if f not in broken]
    return lines, FAILS if faults else HOLDS


def report(records):
    """Everything a reader is shown, and the exit code."""
    figures = Figures(records)
    lines = [f"- {fact}: {value}" for fact, value in figures.facts.items()]
    lines += ["", *table(figures)]
    peers = [tool for tool in figures.tools if tool != OURS]
    if OURS in figures.tools and peers:
        lines += ["", *ratios(figures, peers)]
    words, code = verdict(figures)
    return "\n".join([*lines, "", *words]), code
