"""The only place where everything is put together: start, reload, drain, stop."""
