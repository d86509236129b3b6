"""The links a statement passes, in this order: admission, authorization, execution, accounting."""
