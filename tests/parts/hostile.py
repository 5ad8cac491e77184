"""Hostile input, as it goes over the wire. Whatever carries MARK must not come back, nor reach a log."""

from parts.wire import MARK

# What may stand in a JSON body for a value, as text, and which JSON type it has; None: it is right nowhere.
VALUES: dict[str, tuple[str, str | None]] = {
    "a lone surrogate": (f'"{MARK}\\ud800"', None),
    "a lone low surrogate": (f'"\\udc00{MARK}"', None),
    "NUL": (f'"{MARK}\\u0000"', None),
    "NaN": ("NaN", None),
    "Infinity": ("-Infinity", None),
    "1e999": ("1e999", None),
    "90,000 digits": ("9" * 90_000, None),
    "40,000 lists": ("[" * 40_000 + "]" * 40_000, None),
    "40,000 objects": (f'{{"{MARK}":' * 40_000 + "1" + "}" * 40_000, None),
    "a key twice": (f'{{"a": "{MARK}", "a": "{MARK}"}}', None),
    "a hostile key": ('{"\\ud800": 1}', None),
    "a string": (f'"{MARK}"', "string"),
    "a number": ("7", "integer"),
    "a fraction": ("7.5", "number"),
    "true": ("true", "boolean"),
    "null": ("null", "null"),
    "a list": (f'["{MARK}", 7]', "array"),
    "an object": (f'{{"{MARK}": 7}}', "object"),
}
BODIES = {
    "nothing": b"",
    "a space": b" ",
    "bad UTF-8": b'{"name": "' + MARK.encode() + b'\xff\xfe"}',
    "UTF-16": f'{{"name": "{MARK}"}}'.encode("utf-16"),
    "half": f'{{"name": "{MARK}'.encode(),
    "two values": b"{} {}",
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "a list": f'["{MARK}"]'.encode(),
    "a string": f'"{MARK}"'.encode(),
    "null": b"null",
    "NaN": b"NaN",
    "not JSON": f"name={MARK}".encode(),
    "a key twice": f'{{"name": "{MARK}", "name": "{MARK}"}}'.encode(),
    "a hostile key": b'{"\\ud800\\u0000": 1}',
    "only unknown keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(500)) + b"}",
}
FORM_VALUES = [
    b"",
    f"{MARK}\0".encode(),
    b"\xff\0",
    f"<{MARK}>".encode(),
    f"{MARK}\n".encode(),
    MARK.encode() * 400_000,
]
# In the place of a path parameter, as it stands in the request line; {canary} is a file that must stay unread.
NAMES = [
    *("..", "%2e%2e", "../../../..{canary}", "..%2f..%2f..%2f..%2f..{canary}", "..%5c..%5ccanary", "{canary}"),
    *("%2f{canary}", "%252e%252e%252f%252e%252e{canary}", "..;", "%c0%ae%c0%ae%c0%af", "%ef%bc%8e%ef%bc%8e"),
    *("link", "link%2fconfig.json", "file:%2f%2f{canary}", "http:%2f%2fevil.example%2fzebra", "%5c%5cevil.example%5cx"),
    *("a%00b", "%00", "%ff%fe", "%ed%a0%80", "%23", "%3f", "%", "%zz", "%0a", "x%0d%0aX-Zebra:%20zebra", "%20"),
    *("zebra" * 60, "ZEBRA", "%7b%7b7*7%7d%7d", "'%20OR%20'1'='1", "*", "~", "%e2%80%ae", "null", "-1", "0"),
]
# In the place of a query parameter or a header's value.
PARAMETERS = [
    *("", "zebra zebra", "-1", "NaN", "1e999", "9" * 5000, "zebra" * 2000, "null", "[]", "{}", "'", "..%2f..", "٣"),
    *("%00", "%ff%fe", "%ed%a0%80", "%0d%0aX-Zebra:%20zebra", "%f0%9f%8d%8e"),
]
