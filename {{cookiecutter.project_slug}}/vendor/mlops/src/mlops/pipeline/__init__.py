"""One run of one model: validate, train, test, gate, report."""
