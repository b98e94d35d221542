"""cgscope's sandbox: starts containers, and puts processes into them, with Linux's own system calls."""
