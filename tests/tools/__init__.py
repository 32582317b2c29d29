"""Tools that tests share: each file is one."""
