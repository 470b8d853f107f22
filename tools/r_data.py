"""Reads a data frame out of an R package's lazy-load database (data/Rdata.rdx and Rdata.rdb).

The index is a compressed serialized list: variables -> (offset, length) in the .rdb file; each value there is a
big-endian length followed by a zlib stream of R's XDR serialization. Source: "R Internals", sections 1.8 and 2.4.
"""
import struct
import zlib

NIL, REFERENCE, GLOBAL, NAMESPACE, PACKAGE, PERSISTENT = 254, 255, 253, 249, 250, 247
SYMBOL, PAIRLIST, ENVIRONMENT, CHARS, LOGICALS, INTEGERS, REALS, STRINGS, LIST = 1, 2, 4, 9, 10, 13, 14, 16, 19
EMPTY, BASE, MISSING, UNBOUND, BASE_NAMESPACE, ALTREP = 242, 241, 251, 252, 247, 238
NA_INTEGER = -2147483648


class Reader:
    def __init__(self, data):
        if data[:2] != b"X\n":
            raise ValueError("not R's XDR serialization")
        self.data, self.at, self.references = data, 2, []
        version = self.integer()
        self.at += 8
        if version == 3:
            self.take(self.integer())

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def integer(self):
        return struct.unpack(">i", self.take(4))[0]

    def numbers(self, code, size):
        count = self.integer()
        return list(struct.unpack(f">{count}{code}", self.take(count * size)))

    def value(self):
        """A Python value; one with attributes becomes (value, {name: attribute})."""
        flags = self.integer()
        kind, has_attributes, has_tag = flags & 255, flags & 512, flags & 1024
        if kind in (NIL, GLOBAL, EMPTY, BASE, MISSING, UNBOUND):
            return None
        if kind == REFERENCE:
            index = flags >> 8
            return self.references[(index or self.integer()) - 1]
        if kind == SYMBOL:
            self.references.append(self.value())
            return self.references[-1]
        if kind == PAIRLIST:
            return self.pairs(has_attributes, has_tag)
        if kind == CHARS:
            length = self.integer()
            return None if length == -1 else self.take(length).decode("utf-8", "replace")
        if kind in (PERSISTENT, NAMESPACE, PACKAGE):
            self.integer()
            names = [self.value() for _ in range(self.integer())]
            self.references.append(names)
            return names
        value = self.vector(kind)
        return (value, self.value()) if has_attributes else value

    def vector(self, kind):
        if kind in (LOGICALS, INTEGERS):
            return [None if number == NA_INTEGER else number for number in self.numbers("i", 4)]
        if kind == REALS:
            return self.numbers("d", 8)
        if kind in (STRINGS, LIST):
            return [self.value() for _ in range(self.integer())]
        raise ValueError(f"R type {kind} is not read here")

    def pairs(self, has_attributes, has_tag):
        found = {}
        while True:
            if has_attributes:
                self.value()
            tag = self.value() if has_tag else len(found)
            found[tag] = self.value()
            flags = self.integer()
            if flags & 255 == NIL:
                return found
            has_attributes, has_tag = flags & 512, flags & 1024


def plain(value):
    return value[0] if isinstance(value, tuple) else value


def data_frame(folder, name):
    """The columns of data frame `name` as {column: list}; times are seconds since 1970."""
    with open(f"{folder}/Rdata.rdx", "rb") as file:
        index, attributes = Reader(zlib.decompress(file.read(), zlib.MAX_WBITS | 32)).value()
    entries = dict(zip(attributes["names"], index))
    variables, names = entries["variables"]
    offset, length = dict(zip(names["names"], variables))[name]
    with open(f"{folder}/Rdata.rdb", "rb") as file:
        file.seek(offset)
        block = file.read(length)
    columns, attributes = Reader(zlib.decompress(block[4:])).value()
    return {column: plain(values) for column, values in zip(attributes["names"], columns)}
