"""Types that match more than themselves, and dicts of inputs that hold more than they list: both as packs write them."""


class Anything(str):
    """Equal to every type, as far as `!=` goes."""

    def __ne__(self, other):
        return False


class OneOf(str):
    """Written as a comma list; differs only from types that share no part with it."""

    def __ne__(self, other):
        return set(self.split(",")).isdisjoint(str(other).split(","))


class Numbered(dict):
    """Inputs whose name begins with a prefix are there, however many there are."""

    def __init__(self, prefix, kind):
        super().__init__({f"{prefix}1": (kind,)})
        self.prefix = prefix
        self.kind = kind

    def __contains__(self, name):
        return name.startswith(self.prefix)

    def __getitem__(self, name):
        return (self.kind,)


ANY = Anything("*")
