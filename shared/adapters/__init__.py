"""One file per outside thing. Vendor errors become ours here and go no further."""
