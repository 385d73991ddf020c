"""Numbers from arrays, without torch: scores, folds, calibration, out-of-distribution limits, paired tests."""
