//! One bad object never stops the rest: it is named, it is counted.
