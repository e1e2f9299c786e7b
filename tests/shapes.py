"""The type checker of arguments while tests run: beartype, with an int taken where a float is asked for."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
