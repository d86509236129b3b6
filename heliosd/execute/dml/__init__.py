"""What INSERT, UPDATE and DELETE call at run time: violations, foreign keys, table writers."""
