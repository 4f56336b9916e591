"""profile.proto as Python values: a reader of its own, so that the tests do not trust the program under test."""
import gzip


def _varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 0x7F) << shift
        i += 1
        if b[i - 1] < 0x80:
            return v, i
        shift += 7


def _signed(v):
    return v - (1 << 64) if v >> 63 else v


def _fields(b):
    """(number, value) of a message; packed and length-delimited values are bytes."""
    i = 0
    while i < len(b):
        tag, i = _varint(b, i)
        kind = tag & 7
        if kind == 0:
            v, i = _varint(b, i)
        elif kind == 2:
            n, i = _varint(b, i)
            v, i = b[i:i + n], i + n
            assert len(v) == n
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, v


def _many(values):
    """Repeated numbers, packed or not."""
    out = []
    for v in values:
        if isinstance(v, bytes):
            i = 0
            while i < len(v):
                x, i = _varint(v, i)
                out.append(x)
        else:
            out.append(v)
    return out


def _message(b):
    m = {}
    for n, v in _fields(b):
        m.setdefault(n, []).append(v)
    return m


def _one(m, n, default=0):
    return m.get(n, [default])[-1]


def parse(data):
    """types, default_type, period, period_type, comments, time_nanos, mappings, and samples with everything resolved:
    {"stack": [location …], "values": (…), "labels": sorted tuples}; a location is
    {"id", "address", "mapping" (its index or None), "lines": [(function, system name, file, start line, line)]}."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    top = _message(data)
    strings = [s.decode("utf-8", "surrogateescape") for s in top.get(6, [])]
    assert strings and strings[0] == ""

    def text(m, n):
        return strings[_one(m, n)]

    def value_type(b):
        m = _message(b)
        return text(m, 1), text(m, 2)

    functions, locations, mappings = {}, {}, {}
    for b in top.get(5, []):
        m = _message(b)
        functions[_one(m, 1)] = (text(m, 2), text(m, 3), text(m, 4), _signed(_one(m, 5)))
    rows = []
    for b in top.get(3, []):
        m = _message(b)
        mappings[_one(m, 1)] = len(rows)
        rows.append({"start": _one(m, 2), "limit": _one(m, 3), "offset": _one(m, 4), "file": text(m, 5), "build_id": text(m, 6),
                     "has": tuple(_one(m, k) for k in (7, 8, 9, 10))})
    for b in top.get(4, []):
        m = _message(b)
        lines = []
        for x in m.get(4, []):
            line = _message(x)
            lines.append((*functions[_one(line, 1)], _signed(_one(line, 2))))
        locations[_one(m, 1)] = {"id": _one(m, 1), "address": _one(m, 3), "mapping": mappings.get(_one(m, 2)), "lines": lines}
    samples = []
    for b in top.get(2, []):
        m = _message(b)
        labels = []
        for x in m.get(3, []):
            lab = _message(x)
            labels.append((text(lab, 1), text(lab, 2), _signed(_one(lab, 3)), text(lab, 4)))
        samples.append({"stack": [locations[i] for i in _many(m.get(1, []))],
                        "values": tuple(_signed(v) for v in _many(m.get(2, []))), "labels": tuple(sorted(labels))})
    types = [value_type(b) for b in top.get(1, [])]
    assert all(len(s["values"]) == len(types) for s in samples)
    return {"types": types, "default_type": strings[_one(top, 14)], "period": _signed(_one(top, 12)),
            "period_type": value_type(_one(top, 11, b"")), "comments": [strings[i] for i in _many(top.get(13, []))],
            "drop": strings[_one(top, 7)], "keep": strings[_one(top, 8)], "doc_url": strings[_one(top, 15)],
            "time_nanos": _one(top, 9), "duration_nanos": _one(top, 10),
            "mappings": rows, "samples": samples, "functions": len(functions), "locations": len(locations)}


def stack_key(sample):
    """What a stack is, without the numbers that a profile gives to its parts."""
    return tuple((x["address"], x["mapping"], tuple(x["lines"])) for x in sample["stack"])


def totals(p):
    return {t: sum(s["values"][i] for s in p["samples"]) for i, (t, _) in enumerate(p["types"])}
