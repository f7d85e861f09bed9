"""What Dreamlake decides: pure functions and values, with no I/O, no clock, no threads and no async."""
