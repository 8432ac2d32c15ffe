"""Error messages and their causes: what a message means, and what a reply must speak of to name that cause."""

from __future__ import annotations

import re

_LACK = r"not|n['’]t|no|never|missing|without|lacks?|wrong|invalid|unknown|mis\w+|absent|forg[oe]t\w*"
CAUSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "module": (
        "The module is not installed.",
        (
            r"modules?|packages?|library|libraries|dependency|dependencies|crate|gem",
            r"(?:un)?install\w*|missing|not (?:been )?found|unavailable|available",
        ),
    ),
    "zero": (
        "The program divides a number by zero.",
        (
            r"zero|0",
            r"divi\w+|denominator|quotient",
        ),
    ),
    "index": (
        "The index is outside the list.",
        (
            r"index|indices|position|subscript|elements?",
            r"out of (?:range|bounds)|outside|too (?:large|big|high|short|small|few)|beyond|past the end|"
            r"exceed\w*|no such|not exist\w*|fewer|larger|bigger",
        ),
    ),
    "key": (
        "The dictionary does not have that key.",
        (
            r"keys?",
            _LACK,
        ),
    ),
    "name": (
        "The variable was used before it was defined.",
        (
            r"variables?|names?|identifiers?|functions?|symbols?",
            r"(?:not|never|n['’]t)(?: \w+)? (?:defined|declared|assigned|exist|set|known)|undefined|"
            r"undeclared|before (?:it|being|they)\b.*|typo|misspel\w+|unknown|without being",
        ),
    ),
    "file": (
        "The file does not exist at that path.",
        (
            r"files?|path|director(?:y|ies)|folders?",
            r"not (?:exist|there|found|been created)|n['’]t (?:exist|there|found)|missing|wrong|"
            r"cannot be found|nonexistent|misspel\w+",
        ),
    ),
    "permission": (
        "The program lacks permission for this.",
        (
            r"permissions?|permitted|rights?|privileg\w+|allowed|admin\w*|as root|root user|sudo|access",
            rf"denied|forbidden|refused|insufficient|need\w*|must|requir\w+|run|{_LACK}",
        ),
    ),
    "bracket": (
        "A bracket was never closed.",
        (
            r"brackets?|parenthes[ie]s|braces?|curly",
            rf"clos\w+|unmatched|unbalanced|match\w*|{_LACK}",
        ),
    ),
    "quote": (
        "The closing quotation mark of a string is missing.",
        (
            r"quot\w+|strings?",
            rf"clos\w+|unterminated|terminat\w+|end\w*|{_LACK}",
        ),
    ),
    "colon": (
        "A colon is missing at the end of the line.",
        (
            r"(?<!semi)(?<!semi-)colons?",
            rf"expected|need\w*|add|put|requir\w+|{_LACK}",
        ),
    ),
    "semicolon": (
        "A semicolon is missing.",
        (
            r"semi-?colons?",
            rf"expected|need\w*|add|put|requir\w+|{_LACK}",
        ),
    ),
    "indent": (
        "The indentation of the lines is wrong.",
        (
            r"indent\w*|tabs?|spaces?|whitespace",
            r"mix\w*|inconsistent|expected|incorrect\w*|bad\w*|uneven|match\w*|unexpected|should|need\w*|"
            rf"{_LACK}",
        ),
    ),
    "memory": (
        "The program ran out of memory.",
        (
            r"memory|ram|heap",
            r"(?:ran|run|runs|running) out|out of|enough|exhaust\w*|too much|insufficient|full|exceed\w*|"
            r"not? (?:free|left)|more",
        ),
    ),
    "recursion": (
        "A function calls itself without end.",
        (
            r"recurs\w+|itself|call stack|stack",
            r"deep\w*|endless\w*|infinite\w*|never|base case|overflow\w*|limit|forever|without end|"
            r"too many|without (?:ever )?stop\w*",
        ),
    ),
    "disk": (
        "The disk is full.",
        (
            r"disk|drive|storage|space|volume",
            r"full|no|out of|enough|left|run out|ran out|free",
        ),
    ),
    "timeout": (
        "The server took too long to answer.",
        (
            r"time|timed|long|slow\w*|late|respon\w+|answer\w*|reply|replied",
            r"too long|time ?out|timed out|slow\w*|not (?:answer|respond|reply)|n['’]t (?:answer|respond|"
            r"reply)|in time|too late|no (?:response|answer|reply)|limit",
        ),
    ),
    "refused": (
        "No server is listening on that port.",
        (
            r"servers?|services?|ports?|host|database|nothing|connections?",
            r"not (?:running|listening|started|accept\w*|up)|n['’]t (?:running|listening|started|"
            r"accept\w*|up)|down|closed|listen\w*|rejected|stopped|off",
        ),
    ),
    "dns": (
        "The host name cannot be resolved.",
        (
            r"host\w*|domain|dns|address",
            r"resol\w+|not found|n['’]t found|cannot be found|unknown|wrong|not exist|n['’]t exist|"
            r"look\w* up|misspel\w+",
        ),
    ),
    "port": (
        "Another program already uses that port.",
        (
            r"ports?|address",
            r"in use|uses?|using|used|taken|occupied|busy|already",
        ),
    ),
    "login": (
        "The login data are missing or wrong.",
        (
            r"log(?:in|ged in|in data| in)|credentials?|passwords?|tokens?|authenti\w+|api key|"
            r"user ?names?",
            rf"expired|incorrect|fail\w*|need\w*|requir\w+|reject\w*|{_LACK}",
        ),
    ),
    "notfound": (
        "The page does not exist at that address.",
        (
            r"pages?|address|urls?|resources?|links?|routes?|endpoints?",
            r"not (?:exist|there|found)|n['’]t (?:exist|there|found)|missing|wrong|moved|no such|removed|"
            r"nonexistent|deleted",
        ),
    ),
    "server": (
        "The server itself has an error.",
        (
            r"servers?",
            r"errors?|crash\w*|fail\w*|bugs?|fault|problem|broke\w*|exception",
        ),
    ),
    "rate": (
        "Too many requests were sent in a short time.",
        (
            r"requests?|calls?|quer(?:y|ies)|rate",
            r"too (?:many|fast|often|much|quick\w*)|limit\w*",
        ),
    ),
    "certificate": (
        "The certificate cannot be trusted or has expired.",
        (
            r"certificates?|ssl|tls|cert",
            rf"expired|trust\w*|verif\w*|self-signed|authority|{_LACK}",
        ),
    ),
    "null": (
        "The object is null, so it has nothing to read.",
        (
            r"null|none|nil|undefined|nonetype",
            r"objects?|values?|variables?|references?|pointers?|it|is|was|instead",
        ),
    ),
    "types": (
        "A text and a number are mixed without conversion.",
        (
            r"strings?|text|str|numbers?|integers?|ints?|types?",
            r"mix\w*|different|mismatch\w*|incompatible|convert\w*|conver\w+|cannot be (?:added|combined|"
            r"joined|concatenated)|concatenat\w+|combin\w+|add\w*|same|wrong",
        ),
    ),
    "number": (
        "The text is not a number and cannot be converted.",
        (
            r"numbers?|integers?|digits?|numeric|int|float",
            r"not|n['’]t|cannot|convert\w*|letters|invalid|pars\w+|text",
        ),
    ),
    "attribute": (
        "The object has no method of that name.",
        (
            r"attributes?|methods?|propert(?:y|ies)|members?|functions?",
            r"no|not|n['’]t|missing|wrong|lacks?|typo|misspel\w+|without|nonexistent",
        ),
    ),
    "encoding": (
        "The file is in another encoding.",
        (
            r"encod\w+|utf-?8|charset|decod\w+",
            rf"different|another|other|mismatch\w*|incorrect|cannot|{_LACK}",
        ),
    ),
    "json": (
        "The text is not valid JSON.",
        (
            r"json",
            rf"malformed|broken|empty|incorrect|bad\w*|cannot|{_LACK}",
        ),
    ),
    "arguments": (
        "The function was called with the wrong number of arguments.",
        (
            r"arguments?|parameters?",
            rf"too (?:many|few)|number of|more|fewer|extra|left out|one|two|required|{_LACK}",
        ),
    ),
    "conflict": (
        "Both sides changed the same lines.",
        (
            r"conflict\w*|both|same|other (?:branch|version|side)",
            r"chang\w+|edit\w*|lines?|branch\w*|merg\w+|version\w*|modif\w+",
        ),
    ),
    "command": (
        "The command is not installed or not on the path.",
        (
            r"commands?|programs?|tools?|executables?|binar(?:y|ies)",
            r"install\w*|path|missing|misspel\w+|typo|not (?:been )?found|not exist|n['’]t exist|available",
        ),
    ),
    "cycle": (
        "Two modules import each other.",
        (
            r"import\w*|modules?|depend\w+",
            r"circular\w*|each other|cycle|loop|mutual\w*|one another",
        ),
    ),
    "locked": (
        "Another process has locked the database.",
        (
            r"lock\w*",
            r"database|process\w*|another|other|connection|file|transaction|program",
        ),
    ),
    "unique": (
        "The same value is already in the table.",
        (
            r"values?|rows?|entr(?:y|ies)|records?|keys?",
            r"already|duplicat\w*|twice|unique|same|exists",
        ),
    ),
    "table": (
        "The table was never created.",
        (
            r"tables?",
            r"not (?:exist|there|found|been created|created)|n['’]t (?:exist|there|been created|created)|"
            r"missing|never|no such|not yet",
        ),
    ),
    "required": (
        "A required value was left empty.",
        (
            r"values?|columns?|fields?",
            rf"empty|null|required|left out|must|{_LACK}",
        ),
    ),
}
"""Cause -> (an answer, patterns of all of which one sentence of a reply must speak)."""

_MESSAGES = """
module: ModuleNotFoundError: No module named 'numpy'| ImportError: No module named requests|
  Error: Cannot find module 'express'| error: package org.junit does not exist|
  LoadError: cannot load such file -- nokogiri
zero: ZeroDivisionError: division by zero| java.lang.ArithmeticException: / by zero|
  Floating point exception: divide by zero
index: IndexError: list index out of range| IndexError: string index out of range|
  java.lang.ArrayIndexOutOfBoundsException: 5| panic: runtime error: index out of range
key: KeyError: 'price'| KeyError: 'user_id'| std::out_of_range: map::at: key not found
name: NameError: name 'total' is not defined| ReferenceError: count is not defined|
  UnboundLocalError: local variable 'x' referenced before assignment| error: 'result' was not declared in this scope|
  error: cannot find symbol variable price
file: FileNotFoundError: No such file or directory: 'data.csv'| ENOENT: no such file or directory, open 'config.yml'|
  java.io.FileNotFoundException: notes.txt| fopen failed: No such file
permission: PermissionError: Permission denied: 'log.txt'| bash: ./run.sh: Permission denied|
  EACCES: permission denied, mkdir '/opt/app'| HTTP status 403 Forbidden
bracket: SyntaxError: '(' was never closed| SyntaxError: Unexpected end of input, expected }|
  error: expected ')' before ';' token
quote: SyntaxError: unterminated string literal| SyntaxError: EOL while scanning string literal|
  error: missing terminating quote character
colon: SyntaxError: expected ':'| SyntaxError: expected ':' after 'if' condition
semicolon: error: expected ';' before 'return'| error: ';' expected
indent: IndentationError: unexpected indent| IndentationError: expected an indented block|
  TabError: inconsistent use of tabs and spaces in indentation
memory: MemoryError| java.lang.OutOfMemoryError: Java heap space| CUDA out of memory| fatal: cannot allocate memory
recursion: RecursionError: maximum recursion depth exceeded| java.lang.StackOverflowError|
  RangeError: Maximum call stack size exceeded
disk: OSError: No space left on device| ENOSPC: no space left on device, write| fatal: disk quota exceeded
timeout: TimeoutError: timed out| HTTP status 504 Gateway Timeout| requests.exceptions.ReadTimeout|
  ETIMEDOUT: connection timed out
refused: ConnectionRefusedError: Connection refused| ECONNREFUSED 127.0.0.1:5432|
  connect to host example port 22: Connection refused
dns: socket.gaierror: Name or service not known| getaddrinfo ENOTFOUND api.example.com|
  Could not resolve host: example.org
port: OSError: Address already in use| EADDRINUSE: address already in use :::3000|
  bind failed: port 8080 is already allocated
login: HTTP status 401 Unauthorized| fatal: Authentication failed| Access denied for user 'root'@'localhost'
notfound: HTTP status 404 Not Found| HTTP Error 404: page not found| GET /users 404
server: HTTP status 500 Internal Server Error| HTTP Error 500| POST /orders 500
rate: HTTP status 429 Too Many Requests| RateLimitError: rate limit exceeded
certificate: SSLError: certificate verify failed| SSL certificate problem: certificate has expired| CERT_HAS_EXPIRED
null: java.lang.NullPointerException| TypeError: Cannot read properties of null|
  AttributeError: 'NoneType' object has no attribute 'name'| NoMethodError: undefined method 'name' for nil
types: TypeError: can only concatenate str (not "int") to str|
  TypeError: unsupported operand type(s) for +: 'int' and 'str'|
  error: incompatible types: String cannot be converted to int
number: ValueError: invalid literal for int() with base 10: 'abc'|
  ValueError: could not convert string to float: 'x'| java.lang.NumberFormatException: For input string: "ten"
attribute: AttributeError: 'list' object has no attribute 'push'| TypeError: items.add is not a function|
  AttributeError: 'str' object has no attribute 'append'
encoding: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff|
  UnicodeEncodeError: 'ascii' codec can't encode character
json: json.decoder.JSONDecodeError: Expecting value| SyntaxError: Unexpected token < in JSON at position 0|
  error: invalid character in JSON text
arguments: TypeError: area() missing 1 required positional argument: 'width'|
  TypeError: greet() takes 1 positional argument but 2 were given| error: too few arguments to function 'add'|
  ArgumentError: wrong number of arguments
conflict: CONFLICT (content): Merge conflict in main.py| error: could not apply commit, fix conflicts first
command: bash: node: command not found| 'python' is not recognized as an internal or external command|
  make: gcc: Command not found| zsh: command not found: npm
cycle: ImportError: cannot import name 'User' (most likely due to a circular import)| error: import cycle not allowed
locked: sqlite3.OperationalError: database is locked| error: could not obtain lock on database
unique: sqlite3.IntegrityError: UNIQUE constraint failed: users.email| Duplicate entry '7' for key 'PRIMARY'|
  duplicate key value violates unique constraint
table: sqlite3.OperationalError: no such table: orders| relation "users" does not exist|
  Table 'shop.items' doesn't exist
required: sqlite3.IntegrityError: NOT NULL constraint failed: users.name| Column 'title' cannot be null
"""


def _load() -> dict[str, str]:
    """Message -> name of its cause."""
    out: dict[str, str] = {}
    for row in re.sub(r"\n  ", " ", _MESSAGES).strip().splitlines():
        cause, messages = row.split(": ", 1)
        out |= {message.strip(): cause for message in messages.split("|")}
    return out


MESSAGES = _load()
