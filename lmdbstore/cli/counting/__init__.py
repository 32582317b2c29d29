"""The commands `histogram` and `top`: numbers of events, with bars on a terminal."""
