"""`neurdicom plugin check --sanitize`: a native plugin built with sanitizers, run and its reports read."""
