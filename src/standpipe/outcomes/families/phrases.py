"""Phrases that mean one thing, for texts that carry no code.

Rule 1: a phrase, never a single word that could be somebody's file name.
Rule 2: the first kind that fits decides; what a model provider says comes before everything else.
"""

from standpipe.outcomes.lexicon import Table, indexed, search
from standpipe.outcomes.outcome import Kind

# What people say to a program: an unknown one of these is a mistake of the caller.
_SPOKEN = (
    "option|flag|argument|switch|parameter|predicate|subcommand|format|encoder|decoder|codec|stage|operator|directive|keyword|"
    "column|field|property|attribute|shorthand|configuration|action|expression|filter|setting|encoding|modifier|choice"
)
# What must be there (one of several, between `|`), and the expression that then decides; "" where the
# literal is enough. Its words are whole words. The first kind that fits decides.
PHRASES: Table = (
    (
        Kind.ENVIRONMENT,
        {
            "not found": r": \d{1,4}: \S{1,200}: not found",
            "not installed": r"\b(?:is|are) not installed\b",
            "installed": r"\b(?:must|needs? to|should) be installed\b",
            "install": r"\b(?:need|have) to install\b|please install\b|use the \S{1,40} downloader",
            "dependency|dependencies": r"missing (?:optional |required )?(?:dependency|dependencies)",
            "unable to allocate": r"unable to allocate [\d.]{1,20} ?\w{0,3}b",
            "root|superuser": r"(?:must be|are you|requires?|need to be|run as|only) (?:the )?(?:root|superuser)\b",
            "readonly|read-only": r"\bread-?only (?:database|file|filesystem|volume|disk)",
            "no package called|cannot load such file|tree builder with|bad_alloc|not enough memory": "",
            "error while loading shared libraries|insufficient memory|cannot open display": "",
            "outofmemoryerror|heap space|command not found|is not recognized as an internal": "",
            "executable file not found|no module named|cannot find module|no space left on device": "",
            "read-only file system|too many open files|cannot allocate memory|out of memory": "",
            "disk quota exceeded|library not loaded|cannot open shared object": "",
        },
    ),
    (
        Kind.NOT_SENT,
        {
            "refused": r"connection to .{1,80} was refused",
            "could not resolve": r"could not resolve (?:host|proxy|hostname)",
            "resolution": r"(?:temporary )?failure in name resolution|name resolution (?:failed|failure|error)",
            "failed to establish": r"failed to establish a (?:new )?connection",
            "getaddrinfo": r"getaddrinfo (?:failed|enotfound|eai_again)",
            "dns": r"\bdns (?:lookup|resolution|error|failure|name)|dns:",
            "certificate|issuer": r"self[- ]signed certificate|unable to get local issuer|certificate (?:has expired|is not trusted|signed by unknown)|(?:invalid|untrusted|unknown) (?:peer )?certificate",
            "handshake": r"(?:tls|ssl)\S{0,3} handshake|handshake (?:failed|failure)",
            "connection timeout": r"connection timeout (?:error|to\b)",
            "proxy": r"(?:cannot|unable to|failed to|could not) connect to (?:the )?proxy|proxy connection (?:failed|refused)",
            "unable to resolve|failed to resolve|unknownhostexception|unknown host|path building failed": "",
            "err_connection_refused|err_name_not_resolved|err_address_unreachable|nobrokersavailable": "",
            "name or service not known|nodename nor servname|no address associated|connection refused": "",
            "no route to host|network is unreachable|couldn't connect to|could not connect to": "",
            "cannot connect to|can't connect to|failed to connect to|unable to connect to|no such host": "",
            "certificate verify failed|host unreachable|connect timeout|no servers available": "",
            "no brokers available|can't contact|cannot contact|unable to contact|could not contact": "",
            "timed out": r"\bconnect(?:ing)? to .{1,160} timed out|\bconnect timed out",
            "dial tcp": r"dial tcp .{0,80}(?:timeout|refused|no such host|unreachable)",
            "x509": r"\bx509: ",
            "unable to reach|could not reach|cannot reach|failed to reach|host is down|host is unreachable": "",
            "err_internet_disconnected|err_connection_timed_out|err_cert_|pool timeout": "",
            "pool": r"queuepool limit|(?:connection|session|client) pool.{0,60}(?:timed out|timeout)|(?:timed out|timeout).{0,40}(?:connection|client) (?:from|in) (?:the )?pool",
            "get a connection": r"couldn't get a connection after",
        },
    ),
    (
        Kind.CREDENTIAL,
        {
            "expired": r"(?:token|session|credentials?|key|jwt|signature|password|login) (?:has |have |is |are )?(?:been )?(?:already )?expired|expired (?:access |api |auth |security |refresh |bearer |id |web )?(?:token|credentials?|session|jwt|api key|key)",
            "revoked": r"(?:token|session|credentials?|key|jwt|access) (?:has |have |is |are |was )?(?:been )?revoked|revoked (?:token|credentials?|key)",
            "invalid": r"invalid[_ ](?:auth\b|authentication\b|api[_ -]?key|x-api-key|(?:access |auth |bearer |api |security |id |refresh )?token\b(?!\)| (?:at|in|near|on|'|\"))|credentials?\b|signature\b|password\b|username or password|user(?:name)?/password|client[_ ](?:secret|id)|login\b|grant\b)",
            "incorrect": r"incorrect (?:api key|username|user ?name|password|credentials|login|email or password)|(?:login|password) incorrect",
            "wrong": r"wrong (?:username|password|credentials)|wrongpass",
            "password": r"unable to get (?:the |a )?password|(?:bad|missing|no|rejected) password\b|password (?:is |was )?(?:required|missing|rejected|not supplied)|to read the password",
            "audience|issuer": r"(?:invalid|wrong|incorrect|unexpected|bad) (?:audience|issuer)|(?:audience|issuer) (?:doesn't|does not|did not) match",
            "claim": r"\btoken .{0,40}\bclaim\b|\bclaims? .{0,60}(?:is|are) (?:missing|invalid|required)|missing .{0,40}\bclaim\b",
            "login": r"\b(?:run|running|use):?\s{1,6}(?:\$ )?['`\"]?(?:[\w.-]{1,20} ){1,2}login\b|login (?:was |has been )?refused",
            "active account": r"not .{0,30}an active account",
            "token": r"token .{0,80}(?:was |has been |is )(?:rejected|refused|not accepted|not valid)",
            "noauth": r"\bnoauth\b",
            "authentication": r"authentication (?:failed|failure|required|error|is required|credentials were not)|(?:requires|missing|no) authentication|(?:failed|unable|could not|cannot) (?:to )?(?:complete )?authentication",
            "authenticate|authenticated": r"(?:failed|unable|could not|cannot|must) (?:to )?(?:be )?authenticated?\b|not authenticated|could not authenticate|please (?:re-?)?authenticate|need to authenticate",
            "unauthorized": r"\bunauthorized\b(?! (?:operation|to perform))",
            "log in": r"(?:please|must|need to|have to) (?:be )?(?:log|logged|sign|signed) in",
            "default credentials": r"(?:could not|cannot|unable to).{0,40}default credentials|default credentials (?:were|was) not found",
            "credentials|credential": r"(?:missing|unable to (?:locate|find|load)|could not (?:find|load)|not find|no valid|bad|rejected) (?:\w+ )?credentials|credentials (?:not|were not|are not|rejected|missing)",
            "api key": r"(?:missing|no|provide an?|provide your|not provide(?: an?)?|set (?:an?|the|your)) (?:valid )?api key|api key (?:is )?(?:not valid|missing|required|not found|not set|invalid|expired|revoked)",
            "signature": r"signature (?:verification failed|does not match|mismatch|is invalid)|signature we calculated",
            "role": r"role \"[^\"]{1,80}\" does not exist",
            "login failures|authentication failures|invalidcredentials|token_expired|token_revoked|unauthenticated": "",
            "bad credentials|not authenticated|auth failed|expiredtoken|not logged in|login required": "",
            "locate credentials|no credentials|not enough segments|access denied for user": "",
            "permission denied (publickey|host key verification failed|login failed|logon failure": "",
            "could not read username": "",
        },
    ),
    (
        Kind.FORBIDDEN,
        {
            "access to": r"access to .{1,80} (?:is |was )?(?:denied|forbidden|prohibited)",
            "forbidden": r"\bforbidden\b",
            "not permitted": r"not permitted (?:to|for|by)|operation not permitted|does not permit|is not permitted",
            "insufficient": r"insufficient[_ ](?:scopes?|permissions?|privileges?|rights|access)",
            "permission|permissions": r"(?:lacks?|missing|requires?|need|without|don't have|do not have|does not have|doesn't have) (?:the )?(?:\S{1,60} )?(?:required )?permissions?|permissions? (?:is |are )?(?:required|missing|insufficient)",
            "noperm": r"\bnoperm\b",
            "access_refused": "",
            "access": r"(?:does not|doesn't|do not) have (?:\S{1,60} )?access",
            "scope|scopes": r"(?:missing|required|requires|lacks?)(?: the)? (?:\S{1,60} )?scopes?\b",
            "resource not accessible|access denied|accessdenied|access is denied|permission denied": "",
            "permission_denied|denied access|no permission|not allowed to|not authorized": "",
            "must be owner of|protected branch": "",
        },
    ),
    (
        Kind.RATE_LIMITED,
        {
            "rate": r"\brate[ _-]?limit",
            "slow down": r"(?:please|must) slow down|slow down(?:[.,!]|$| and)",
            "requests per": r"(?:exceeded|over|limit|maximum|too many).{0,60}requests per (?:second|minute|hour)",
            "too many requests|throttled|throttling|throttle|ratelimit|ratelimited|too_many_requests": "",
            "toomanyrequests|flood control|floodwait|too many attempts": "",
        },
    ),
    (
        Kind.CONFLICT,
        {
            "lock": r"could not (?:get|acquire|obtain|set|take) (?:the |a )?lock|acquiring the (?:state )?lock|conflicting lock",
        },
    ),
    (
        Kind.OVERLOADED,
        {
            "slowdown": r"\bslowdown\b",
            "busy": r"(?:server|service|system|backend|cluster)(?: is|'s)? (?:too |currently )?busy",
            "overloaded": r"(?:server|service|system|model|backend|cluster|engine)(?: is|'s)? (?:currently )?overloaded",
            "capacity": r"(?:at|over|insufficient|exceeded|out of) capacity|capacity exceeded",
            "connection pool": r"connection pool (?:is )?(?:exhausted|full)|exhausted connection pool",
            "is locked": r"(?:database|table|schema)(?: is|'s)? locked|database table is locked",
            "starting up": r"(?:database system|server|service) is starting up",
            "shutting down": r"(?:database system|server|service) is shutting down",
            "try again later": r"(?:server|service|system|temporar).{0,80}try again later",
            "command not allowed when used memory|service unavailable|temporarily unavailable": "",
            "currently unavailable|too many connections|too many clients|connection slots are reserved": "",
            "dataset in memory|clusterdown|under maintenance": "",
        },
    ),
    (
        Kind.TRUNCATED,
        {
            "more expected": r"bytes read, \d+ more expected",
            "unexpected end of": r"unexpected end of (?:json|file|input|data|stream|archive|response)",
            "premature|prematurely": r"premature(?:ly)? (?:end|eof|closed|close)|closed prematurely",
            "ended": r"(?:stream|file|input|data|archive|response|body) (?:has )?ended (?:unexpectedly|prematurely)|unexpectedly ended",
            "truncated": r"(?:file|image|archive|stream|data|body|response|input|message|zip|gzip|download)\b.{0,30} (?:is|was|has been|appears) truncated|truncated (?:file|image|data|archive|input|stream)",
            "end-of-stream": r"before the end-of-stream marker",
            "incompleteread|incomplete read|complete message body|unterminated string|unexpected eof": "",
            "transfer closed with|payload is not completed": "",
        },
    ),
    (
        Kind.SERVER_ERROR,
        {
            "gateway time": r"gateway time-?out",
            "upstream": r"upstream (?:connect error|request|error|prematurely)|no healthy upstream",
            "connection closed": r"connection closed (?:by|unexpectedly|while|before)|connection closed$",
            "gone away": r"server has gone away",
            "disconnected|remotedisconnected": r"(?:server|remote|peer|host) (?:unexpectedly )?disconnected|remotedisconnected",
            "closed connection": r"closed connection without|(?:server|remote|peer) closed connection",
            "unexpectedly closed": r"(?:connection|server) (?:was )?unexpectedly closed|connection unexpectedly closed",
            "internal server error|internal error|bad gateway|connection reset|connection aborted": "",
            "eof occurred in violation|closed the connection|closed by the remote|connection lost|connection was lost": "",
            "lost connection|broken pipe|socket hang up|server disconnected|empty reply from server": "",
        },
    ),
    (
        Kind.TIMED_OUT,
        {
            "time-out": r"\b(?:read|request|operation) time-out",
            "timeout": r"timeout (?:expired|exceeded|error|waiting|while|reached|reading|was reached|after|of \d)|(?:read|request|socket|i/o|operation|statement|query|write|gateway|reading|lock|idle|response) timeout|statement timeout|\btimeout:|\btimeout$",
            "did not respond": r"did not (?:properly )?respond (?:in time|within|after)",
            "no response received|timed out|timed-out|timedout|deadline exceeded|deadline_exceeded|took too long": "",
        },
    ),
    (
        Kind.CONFLICT,
        {
            "condition specified": r"condition specified .{0,60}not met",
            "already": r"already (?:been )?(?:taken|allocated|bound|running|registered|locked|mounted|assigned|used|in progress|merged|checked out)\b",
            "in use": r"(?:still|currently|is) (?:being )?in use|resource busy|device or resource",
            "overwritten": r"would be overwritten",
            "not empty": r"directory (?:is )?not empty",
            "primary key": r"(?:violates|violation of) primary key",
            "checkout|re-use": r"cannot re-use a name",
            "update statement": r"expected to update \d+ rows?",
            "stale": r"stale (?:version|object|data|info|read)",
            "etag": r"etag (?:does not|doesn't|did not|didn't) match",
            "precondition|preconditions|conditions": r"precondition (?:failed|not met)|pre-?conditions? .{0,40}did not hold",
            "modified": r"(?:was|has been|been) modified (?:by|since|concurrently|in the meantime)|concurrently modified|object has been modified",
            "conflict|conflicts|conflicting|merge": r"\bconflict(?:s|ing)? (?:in|with|between|detected|error)|^conflict\b|: conflict\b|automatic merge failed",
            "fetch first": r"\(fetch first\)",
            "file exists": r"\bfile exists\b",
            "duplicate key|duplicate entry|unique constraint|already exists|already in use": "",
            "version conflict|edit conflict|etag mismatch|merge conflict|deadlock|deadlocked": "",
            "serialize access|write conflict|optimistic lock|non-fast-forward": "",
        },
    ),
    (
        Kind.UNKNOWN_TOOL,
        {
            "unknown function": r"unknown function:? ['\"`]?\w+['\"`]? (?:called|requested)|^unknown function\b",
            "unknown tool|tool not found|no tool named|no such tool|unknown method|method not found": "",
        },
    ),
    (
        # What is wrong with the words of a call says it better than what was not found because of them.
        Kind.BAD_INPUT,
        {
            "unknown|unrecognized|unrecognised|invalid|illegal|bad|no such|unexpected|unsupported": (
                rf"(?:unknown|unrecogni[sz]ed|invalid|illegal|\bbad|no such|unexpected|unsupported) (?:[\w-]{{1,30}} ){{0,2}}(?:{_SPOKEN})s?\b"
            ),
            "command": r"(?:unknown|no such|invalid|unrecogni[sz]ed) (?:sub-?)?command|(?:is not|isn't) an? .{0,40}\bcommand\b|\bthe command .{1,60} does not exist",
            "column": r"\bcolumn:? \S{1,80} (?:was |is )?(?:not found|does not exist|doesn't exist|not in)",
            "field|cannot query": r"\bcannot query field\b|\bfield \S{1,80} (?:does not exist|doesn't exist)",
            "cannot resolve": r"\bcannot resolve (?:keyword|column|field|name)",
            "corrupt|corrupted|magic|header": r"\b(?:file|archive|image|document|data|database) .{0,40}corrupt(?:ed)?\b|\bcorrupt(?:ed)? (?:file|archive|image|zip|data)|magic (?:bytes|number)\b|\b(?:invalid|bad) \w{1,12} header",
            "not a": r"\bnot an? (?:valid )?[\w.-]{2,12} (?:file|archive|image|document)\b",
            "not in": r"\bnot in [\w.-]{2,12} format\b",
            "is not a database|invalid data found|cannot identify|could not identify|bad magic|not well-formed": "",
        },
    ),
    (
        Kind.NOT_FOUND,
        {
            "not found": r"\bnot found\b",
            "notfound": r"\bnotfound\b",
            "not exist": r"not exist\b",
            "enoent": r"\benoent\b",
            "no matching": r"no matching (?:distribution|manifest|record|entry|package|files|item)",
            "no record": r"no records? (?:of|for|found|with)",
            "no files|no file": r"\bno (?:input |such |matching )?files? (?:were |was )?(?:found|match|matched)",
            "unknown": r"\bunknown (?:\w+ )?(?:table|channel|topic|bucket|mailbox|resource|prompt|queue|collection|repository|project|entity|object|index|document|tag|release|chart|message|member|guild|group|service|unit|image|container|relation|schema|keyspace|namespace|locale|timezone|time zone)\b",
            "cannot open|can't open|couldn't open|unable to open": r"(?:cannot|can't|couldn't|unable to) open\b(?! (?:display|connection|socket|port|lock))",
            "could not open|failed to open|error opening": r"(?:could not|failed to) open (?:input |the |a |data )?(?:file|script|image|source|directory)|error opening (?:input|data|file)",
            "unable to access|cannot access|could not access|can't read|cannot read": r"(?:unable to|cannot|can't|could not) access (?:jarfile|file|the file|\W)|(?:cannot|can't) read(?: input)?(?: file)?[: ]",
            "missing script": r"missing script:",
            "not appear": r"does(?: not|n't) appear to be an? (?:git |valid )?(?:repository|directory|project)",
            "could not resolve to": r"could not resolve to an?\b",
            "not a directory": r"\bnot a directory\b",
            "there is no|there's no|there are no": r"\bthere(?: is|'s| are) no \w",
            "no": r"\bno \w{2,20} (?:(?:with|by) (?:the )?(?:id|name|key)|called|named)\b",
            "find|found|locate|located|loaded|contain": r"\b(?:(?:could|can|did|was|were|does|do)(?: ?not|n't)|can't|unable to|failed to)(?: be)? (?:find|found|locate|located|loaded|contain)\b",
            "not in": r"\b(?:key|node|source|target|item|member|element|record|edge|vertex) \S{1,80} (?:is |was )?not in\b",
            "manifest unknown": "",
            "no available|nonexistent|non-existent|is not in this registry|no match for|no object matches": "",
            "no rule to make target|no such |nosuchkey|couldn't find|unable to find|does not exist": "",
            "doesn't exist|did not match any|didn't match any|cannot find|can't find|could not find": "",
            "unable to locate package|unknown revision|unknown database|cannot stat|has been deleted": "",
        },
    ),
    (
        Kind.BAD_INPUT,
        {
            "not defined": r"provided but not defined",
            "usage:": r"(?:^|\n)usage:",
            "invalid": r"\binvalid (?:[\w-]{1,30} ){0,2}(?:argument|number of|choice|context length)|\binvalid (?:argument|parameter|option|value|input|request|arguments|parameters|params|type|format|choice|literal|date|syntax|url|email|uri|json path|number|character|query|field|data|filter|regular expression|range|expression|identifier|name|path|body|content|id\b)|is invalid\b|input .{0,40} is invalid|\bis not a valid\b|invalid \w+:",
            "unrecognized": r"unrecognized (?:arguments?|option|field|name|parameter|property|key|command|keyword)",
            "unknown": r"\bunknown [\w -]{2,40}(?:[:'\"`\u2018\u201c]| found)|^\W{0,3}unknown \w|unknown (?:option|argument|parameter|field|column|flag|command|property|key|keyword|switch|attribute|shorthand)",
            "missing": r"missing (?:required |mandatory |the )?(?:\d+ required )?(?:argument|parameter|field|operand|value|property|key|input|positional|option|properties|fields|params|data)|(?:argument|parameter|field|property|key|option)s? (?:is |are )?missing",
            "validation|validate": r"validation (?:error|failed|failure|errors|exception)|failed validation|failed to validate|schema validation",
            "required": r"\b(?:is|are) (?:a )?required\b|required (?:argument|parameter|field|property|option|arguments|flag)|field required|(?:argument|parameter|option|value|flag)s? required",
            "illegal": r"illegal (?:option|argument|character|value)",
            "unexpected": r"unexpected (?:argument|token|keyword|parameter|character|option|symbol|field|property|identifier|value)|got an unexpected",
            "must be": r"\bmust be (?:a|an|one|of|in|at|between|greater|less|positive|non-|string|integer|number|either|valid|provided|specified|set|unique|>|<|\d)",
            "must not": r"must not (?:be|contain|exceed)|must have|must contain",
            "should be": r"(?:input|value|field|parameter) should be|should be (?:a valid|one of|of type)",
            "not provided|not specified|not supplied|not given": r"(?:argument|variable|parameter|value|field|input|option|property|key|attribute)\b.{0,80}(?:was|is|were|are) not (?:provided|specified|given|supplied|set)",
            "larger|longer|greater|exceeds|overflow": r"(?:larger|longer|greater|bigger) than (?:the |its |an? )?(?:maximum|max\b|allowed|limit|permitted)|exceeds? (?:the |its )?(?:maximum|max\b|allowed|limit|permitted|fixed|size)|\boverflow\b",
            "instance": r"\bis not an? instance of\b",
            "schema": r"not an example of the schema|(?:does not|doesn't) (?:match|conform to|fit) the schema",
            "have": r"(?:does not|doesn't|do not) have (?:an? |the )?(?:feature|field|option|column|attribute|property|parameter|argument|resource type)",
            "extra": r"\bextra (?:fields?|keys?|inputs?|attributes?|properties) (?:in|are|is|not|found|for)|not allowed here",
            "null": r"cannot insert (?:the value )?null|does not allow nulls|null value (?:in|not allowed|is not)",
            "is a directory": r"\bis a directory\b",
            "ambiguous": r"\bambiguous (?:option|argument|column|name|reference|match)",
            "unmatched|unbalanced": r"\b(?:unmatched|unbalanced|unterminated|unclosed) (?:\S+ )?(?:\W|group|bracket|paren|quote|brace|string|tag|subpattern|delimiter)",
            "too long": r"(?:value|data|name|string|url|input|field|title|message|text|filename) (?:is )?too long|too long for",
            "too large": r"(?:entity|file|request|body|image|upload|content|attachment|input) (?:is )?too large",
            "not supported": r"(?:is|are) not supported",
            "unsupported": r"unsupported (?:media|format|type|value|operation|parameter|protocol|scheme|content|encoding|country|file)",
            "expected|expects": r"expected (?:a|an|one of|type|at most|at least|string|integer|number|int|list|object|boolean|\d+ (?:arguments?|positional|values?))\b|expects? (?:a|an|at least|at most|\d)",
            "takes": r"takes (?:no|at most|exactly|at least|from|\d+) (?:\S+ )?(?:positional )?arguments?",
            "cannot be": r"(?:cannot|can't|may not|could not|couldn't) be (?:null|empty|blank|none|negative|blank|zero|parsed|converted|in the past|longer|greater|less|used with)",
            "can't be": r"can't be (?:blank|null|empty)",
            "recipient|recipients|user|mailbox": r"recipients? (?:address )?(?:rejected|refused|invalid)|user unknown|mailbox unavailable",
            "not a valid|must contain|must match|must have|syntax error|parse error|syntaxerror": "",
            "not null constraint|not-null constraint|foreign key constraint|check constraint": "",
            "number of bindings|out of range|out of bounds|can't parse|cannot parse|could not parse": "",
            "unable to parse|failed to parse|could not convert|cannot convert|bad request|malformed": "",
            "not a number|cannot unmarshal|cannot reshape|could not be broadcast|too few arguments|too many arguments|invalidargument|user unknown": "",
            "have to|has to": r"\b(?:has|have) to be (?:a|an|one|specified|set|given|between|in|of|at|greater|less|\d)",
            "seem": r"did not seem to be|does not seem to be",
            "not defined in": r"\bis not defined in\b",
            "unprocessable|division by zero": "",
        },
    ),
    (
        Kind.SERVER_ERROR,
        {"something went wrong": "", "server error": r"\bserver error\b", "unexpected": r"\bunexpected (?:\w+ )?(?:error|exception|failure|problem)\b"},
    ),
    (
        # The weakest words come last: whatever is invalid here, no phrase above knew it better.
        Kind.BAD_INPUT,
        {
            "invalid": r"\binvalid\b",
            "not valid": r"\bnot valid\b",
            "not allowed": r"\bnot allowed\b",
            "wrong": r"\bwrong (?:\w+ )?(?:type|value|format|number|size|shape|length)\b",
            "expected|expecting": r"\bexpect(?:ed|ing)\b",
            "unexpected": r"\bunexpected (?!error|exception|failure|response|status|problem|condition|close|disconnect)\w",
            "should be|must be": r"\b(?:should|must) be\b",
            "missing": r"\bmissing (?:value|name|type|scheme|closing|data|element)\b",
            "registered": r"\bno \w{2,30} (?:is |was )?registered for\b",
            "suitable": r"\bno suitable \w",
            "determine|determined|identify|identified": r"(?:could not|cannot|can't|unable to) (?:be )?(?:determined?|identified|identify)\b",
            "extra data|does not match|doesn't match|incompatible|does not start with": "",
        },
    ),
)  # fmt: skip
# What model providers say; it stands in bodies of every status.
MODEL_PHRASES: Table = (
    (
        Kind.CONTEXT_OVERFLOW,
        {
            "context limit": r"exceeds? (?:the )?(?:\w+ )?context limit",
            "context window": r"(?:exceeds?|larger than|beyond|too (?:long|large) for) (?:the |its |this )?(?:\w+(?:'s)? )?context window",
            "context length": r"exceeds? (?:the )?(?:\w+ )?(?:maximum )?context length|context length (?:was |is )?exceeded",
            "too many tokens in": r"too many tokens in (?:the )?prompt",
            "input token count": r"input token count.{0,40}exceeds",
            "maximum context length|prompt is too long|context_length_exceeded|input is too long for": "",
        },
    ),
    (
        Kind.QUOTA,
        {
            "credit balance": r"credit balance (?:is )?too low|(?:insufficient|no) credit balance",
            "billing": r"billing (?:hard limit|details|is not (?:active|enabled))|(?:enable|check your) billing",
            "quota": r"(?:monthly|daily) (?:\w+ )?quota (?:\w+ )?(?:exceeded|reached)|quota (?:has been )?(?:exceeded|exhausted)|(?:exceeded|over) (?:the |your )?(?:daily |monthly )?quota",
            "limit": r"(?:monthly|daily) (?:\w+ )?(?:spend|limit) (?:\w+ )?(?:exceeded|reached)",
            "exceeded your current quota|insufficient_quota|insufficient quota|_spend_limit_": "",
            "out of credits|insufficient credits|payment required": "",
        },
    ),
    (Kind.OVERLOADED, {"overloaded": r"\boverloaded(?:_error)?\b"}),
    (
        Kind.REFUSAL,
        {"content_filter": "", "content filter": "", "content management policy": ""},
    ),
)  # fmt: skip


def kind_of(text: str) -> Kind | None:
    """Return the kind that the words of a `folded` text mean, if they mean one."""
    return of_model(text) or search(_INDEX, text)


def of_model(text: str) -> Kind | None:
    """Return what a model provider's sentence means, where it means only one thing."""
    return search(_MODEL_INDEX, text)


_INDEX = indexed(PHRASES)
_MODEL_INDEX = indexed(MODEL_PHRASES)
