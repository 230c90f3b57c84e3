"""Tokens that are known by their form: who gives them out, and what they look like.

A form is only looked for in a text that holds one of its marks, so that a text without any costs
one look for each mark. Every pattern starts at a mark or takes a bounded number of characters, and
runs in linear time on any text.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final, NamedTuple

from instrument.redaction.plain import is_password

MIN_LENGTH: Final = 16
"""No token of a known form is shorter."""
_NEAR: Final = 200
"""So far is the line looked at that something stands on."""
_LONG: Final = 12
"""So long is a password that needs no program before it to tell."""
_OWN_NAME: Final = r"[a-z_.]{0,100}(?:pass(?:wo?r?d|phrase)?|pwd?)[0-9]{0,2}"
"""A variable that holds a password: ``args.password2``."""
_HEADER: Final = r"(?i:authorization)[\"'\\]{0,4}[ \t]{0,9}[:=,][ \t]{0,9}[\"'\\]{0,4}\Z"
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrtu]))"
"""The edge of a word, also one that is URL-encoded or an escape in a quoted text."""


class Form(NamedTuple):
    """One kind of token.

    Attributes:
        kind: What it is, in a few words.
        marks: Texts of which every such token, or what stands around it, holds one.
        pattern: The token; what stands around it belongs into look-around or the group ``keep``.
        holds: Whether what the pattern found is one, where the pattern alone cannot tell.
    """

    kind: str
    marks: tuple[str, ...]
    pattern: str
    holds: Callable[[re.Match[str]], bool] | None = None


def _is_login(found: re.Match[str]) -> bool:
    """Whether a token is one by its digit and what is before it, or is base64 of ``name:word``."""
    token, at = found["token"], found.start()
    least = 6 if re.search(_HEADER, found.string[max(at - 50, 0) : at]) else MIN_LENGTH
    if len(token.rstrip("=")) >= least and re.match("[A-Za-z+/]{0,60}[0-9]", token):
        return True
    if len(token) % 4 or len(token) > _NEAR:
        return False
    name, colon, password = binascii.a2b_base64(token).partition(b":")
    text = name + password
    return bool(name and colon and password) and text.isascii() and text.decode().isprintable()


def _is_sent(found: re.Match[str]) -> bool:
    """Whether the line speaks of what sends requests; a password that is long tells by itself."""
    if len(found["password"]) >= _LONG:
        return True
    is_odd = re.search("[A-Za-z]", found["password"]) is not None
    return is_odd and re.search("curl|wget|http", " ".join(_line_around(found))) is not None


def _is_in_literal(found: re.Match[str]) -> bool:
    """Whether a setting stands within quotes, and its value is a password and no name of one."""
    before, rest = _line_around(found)
    first = re.search(r"[A-Za-z0-9_-]{0,99}\Z", before)
    name, value = f"{first[0] if first else ''}{found['name']}", found["value"]
    if re.fullmatch(_OWN_NAME, value) or not is_password(name, value):
        return False
    texts = r"(?P<quote>[\"'])(?:(?!(?P=quote))[^\\]|\\.)*+(?P<end>(?P=quote))?"
    opened = [each for each in re.finditer(texts, before) if not each["end"]]
    if not opened or opened[0]["quote"] not in rest:
        return False
    # In a notebook the code itself stands within quotes: there an argument is no secret.
    is_cell = not before[: opened[0].start()].strip() or '"source"' in before
    is_argument = rest[:1] in {",", ")"} or rest.startswith(("\\n", opened[0]["quote"]))
    is_call = is_argument and re.search(r"(?:[(,]|^[^\w]*|\\n)\s*[\w-]*\Z", before) is not None
    return not (is_call and value.isidentifier() and (is_cell or len(before) == _NEAR))


def _line_around(found: re.Match[str]) -> tuple[str, str]:
    """What stands before and behind on the same line, as far as it is near."""
    before = found.string[max(found.start() - _NEAR, 0) : found.start()].rpartition("\n")[2]
    return before, found.string[found.end() : found.end() + _NEAR].partition("\n")[0]


FORMS: Final = (
    # machine learning
    Form("Hugging Face token", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{16,}"),
    Form("API key", ("sk-",), r"sk-(?!learn)[A-Za-z0-9_-]{16,}"),  # OpenAI, Anthropic and others
    Form("W&B key", ("wandb_v1_",), r"wandb_v1_[A-Za-z0-9_]{30,}"),
    Form("Replicate token", ("r8_",), r"r8_[A-Za-z0-9]{30,}"),
    Form("Groq key", ("gsk_",), r"gsk_[A-Za-z0-9]{30,}"),
    Form("xAI key", ("xai-",), r"xai-[A-Za-z0-9]{40,}"),
    Form("Perplexity key", ("pplx-",), r"pplx-[A-Za-z0-9]{30,}"),
    Form("NVIDIA key", ("nvapi-",), r"nvapi-[A-Za-z0-9_-]{40,}"),
    Form("LangSmith key", ("lsv2_",), r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}"),
    Form("Pinecone key", ("pcsk_",), r"pcsk_[A-Za-z0-9_]{30,}"),
    Form("Kaggle token", ("KGAT_",), r"KGAT_[A-Za-z0-9]{24,}"),
    Form("Neptune token", ("eyJhcGlfYWRkcmVzcyI6",), r"eyJhcGlfYWRkcmVzcyI6[A-Za-z0-9_=+/-]{8,}"),
    Form("Together key", ("tgp_v1_",), r"tgp_v1_[A-Za-z0-9_-]{20,}"),
    Form("RunPod key", ("rpa_",), r"rpa_[A-Z0-9]{30,}"),
    Form("Databricks token", ("dapi", "dkea"), r"d(?:api|kea)[0-9a-f]{32}(?:-[0-9])?"),
    Form("Prefect key", ("pnu_", "pnb_"), r"pn[ub]_[A-Za-z0-9]{30,}"),
    # clouds
    Form("AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}"),
    Form("Google API key", ("AIza",), r"AIza[A-Za-z0-9_-]{30,}"),
    Form("Google access token", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}"),
    Form("Google refresh token", ("1//0",), r"1//0[A-Za-z0-9_-]{30,}"),
    Form("Google client secret", ("GOCSPX-",), r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    Form("Azure client secret", ("8Q~",), r"[A-Za-z0-9_~.]{3}8Q~[A-Za-z0-9_~.-]{30,40}"),
    Form("Azure account key", ("AccountKey=",), r"(?P<keep>AccountKey=)[A-Za-z0-9+/]{40,}={0,2}"),
    Form("DigitalOcean token", ("_v1_",), r"do[opr]_v1_[0-9a-f]{40,}"),
    Form("Heroku key", ("HRKU-",), r"HRKU-[A-Za-z0-9_-]{30,}"),
    Form("Cloudflare key", ("v1.0-",), r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}"),
    Form("Tailscale key", ("tskey-",), r"tskey-[a-z]{2,12}-[A-Za-z0-9-]{12,}"),
    Form("Terraform token", (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}"),
    Form("Pulumi token", ("pul-",), r"pul-[0-9a-f]{40}"),
    Form("Vault token", ("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    Form("Doppler token", ("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{30,}"),
    Form("1Password token", ("ops_eyJ",), r"ops_eyJ[A-Za-z0-9+/=_-]{40,}"),
    # code and packages
    Form("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{20,}"),
    Form("GitHub token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}"),
    Form(
        "GitLab token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-"),
        r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_.-]{16,}",
    ),
    Form("Atlassian token", ("ATATT3", "ATCTT3"), r"AT[AC]TT3[A-Za-z0-9_=-]{30,}"),
    Form("Bitbucket password", ("ATBB",), r"ATBB[A-Za-z0-9]{24,}"),
    Form("npm token", ("npm_",), r"npm_[A-Za-z0-9]{30,}"),
    Form("PyPI token", ("pypi-",), r"pypi-[A-Za-z0-9_-]{30,}"),
    Form("RubyGems key", ("rubygems_",), r"rubygems_[0-9a-f]{40,}"),
    Form("NuGet key", ("oy2",), r"oy2[a-z0-9]{43}"),
    Form("Docker token", ("dckr_",), r"dckr_[a-z]{3}_[A-Za-z0-9_-]{20,}"),
    Form("Artifactory key", ("AKCp", "cmVmdGtu"), r"(?:AKCp|cmVmdGtu)[A-Za-z0-9]{50,}"),
    Form("CircleCI token", ("CCIPAT_",), r"CCIPAT_[A-Za-z0-9_]{30,}"),
    Form("Buildkite token", ("bkua_",), r"bkua_[0-9a-f]{40}"),
    Form("Sentry token", ("sntrys_", "sntryu_"), r"sntry[su]_[A-Za-z0-9_=+/-]{30,}"),
    Form("Netlify token", ("nfp_",), r"nfp_[A-Za-z0-9]{30,}"),
    # services
    Form("Slack token", ("xox", "xapp-"), r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    Form(
        "Slack webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/[A-Za-z]+/[A-Za-z0-9/+_-]{16,}"
    ),
    Form("Teams webhook", ("webhook.office.com/",), r"webhook\.office\.com/[A-Za-z0-9/@_-]{20,}"),
    Form("Telegram token", (":AA",), r"[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"),
    Form("Stripe key", ("k_live_", "k_test_"), r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    Form("webhook secret", ("whsec_",), r"whsec_[A-Za-z0-9+/=]{20,}"),
    Form("SendGrid key", ("SG.",), r"SG\.[A-Za-z0-9_-]{16,80}\.[A-Za-z0-9_-]{16,}"),
    Form("Twilio key", ("SK",), r"SK[0-9a-f]{32}"),
    Form("Mailgun key", ("key-",), r"key-[0-9a-f]{32}"),
    Form("Mailchimp key", ("-us",), r"[0-9a-f]{32}-us[0-9]{1,2}"),
    Form("Postman key", ("PMAK-",), r"PMAK-[0-9a-f]{20,}-[0-9a-f]{20,}"),
    Form("Grafana token", ("glsa_", "glc_"), r"gl(?:sa|c)_[A-Za-z0-9_+/=]{30,}"),
    Form("New Relic key", ("NRAK-",), r"NRAK-[A-Z0-9]{20,}"),
    Form("Linear key", ("lin_api_",), r"lin_api_[A-Za-z0-9]{30,}"),
    Form("Notion token", ("ntn_", "secret_"), r"(?:ntn_|secret_)[A-Za-z0-9]{40,}"),
    Form("Figma token", ("figd_",), r"figd_[A-Za-z0-9_-]{30,}"),
    Form("Dropbox token", ("sl.",), r"sl\.[A-Za-z0-9_-]{60,}"),
    Form("PlanetScale token", ("pscale_",), r"pscale_[a-z]{2,8}_[A-Za-z0-9_.=-]{30,}"),
    Form("Supabase token", ("sbp_",), r"sbp_[0-9a-f]{40}"),
    Form("Airtable token", ("pat",), r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    Form("HubSpot token", ("pat-",), r"pat-[a-z]{2}[0-9]-[0-9a-f-]{36}"),
    Form("Shopify token", ("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Form("Square token", ("sq0",), r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}"),
    Form("Typeform token", ("tfp_",), r"tfp_[A-Za-z0-9_.=-]{40,}"),
    # of no one in particular
    Form(
        "web token",
        ("eyJ",),
        r"eyJ[A-Za-z0-9_-]{8,300}+\.[A-Za-z0-9_-]{8,9000}+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){0,2}",
    ),
    Form("age key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
)

_AROUND: Final = (
    Form(
        "Discord webhook",
        ("/api/webhooks/",),
        r"(?P<keep>/api/webhooks/)[0-9]{6,}/[A-Za-z0-9_-]{20,}",
    ),
    Form(
        "W&B key",
        ("wandb", "WANDB"),
        r"(?P<keep>(?i:wandb)[^\n]{0,40}?(?i:key|login|token|passw)[^\n0-9a-f]{0,20}[^\n0-9A-Za-z])"
        r"[0-9a-f]{40}(?![0-9a-f])",
    ),
    Form(
        "netrc password",
        ("machine", "login"),
        r"(?P<keep>(?<![A-Za-z0-9])login[ \t\n]{1,20}[^\s]{1,200}"
        r"[ \t\n]{1,20}password[ \t\n]{1,20})"
        r"(?!\[redacted)[^\s\"']+",
    ),
    Form(
        "pgpass line",
        (":5432:",),
        r"(?P<keep>(?<![A-Za-z0-9_.*])[A-Za-z0-9_.*-]{1,200}:5432:[^\s:]{1,100}:[^\s:]{1,100}:)"
        r"(?!\[redacted)[^\s\"',]{4,}",
    ),
)
"""Values that only what stands before them tells."""
_PRIVATE_KEY: Final = Form(
    "private key",
    ("PRIVATE KEY",),
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?!-----END)[A-Za-z0-9+/=\s\\:.,()-]){0,20000}+(?:-----END [A-Z0-9 ]{0,40}-----)?",
)
_PUTTY_KEY: Final = Form(
    "private key",
    ("Private-Lines:",),
    r"(?P<keep>Private-Lines: ?[0-9]{1,4}\s{1,4})[A-Za-z0-9+/=\s]+",
)
_TELLING: Final = r"(?=[^\s]{0,60}[0-9])[A-Za-z0-9+/_%~.-]{12,}"
"""A value with a digit in it: in code, what has none stands for a value."""
_NO_VARIABLE: Final = r"(?![A-Z]+_[A-Z0-9_]+\b)"
_KEY_LINE: Final = r"[^\w\n]{0,20}[A-Za-z0-9+/=]{1,200}+(?:\\[nr])?[^\w\n]{0,20}(?:\n|\Z)"
_IN_CODE: Final = (
    Form(
        "private key",
        ("PRIVATE KEY",),
        # To its end; without one, as far as there are lines of it. A mention of its first line is
        # no key: that has no line below it. The last way is that of a notebook.
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        r"(?=\r?\n|\\n[A-Za-z0-9+/]{16}|(?:\\n)?[\"'][^\w\n]{0,9}\n\s{0,99}[\"'][A-Za-z0-9+/]{16}"
        r"|(?:\\{1,3}[nr]|\\{0,3}[\"']|[ ,\n]){2,120}\\{0,3}[\"'][A-Za-z0-9+/]{16})"
        r"(?:(?:[^-]++|-(?!----)){0,400}+-----END [A-Z ]{0,40}-----"
        rf"|(?:\\n)?[^\w\n]{{0,20}}\n(?:{_KEY_LINE}){{0,400}}+|[A-Za-z0-9+/=\\]{{0,16000}}+)",
    ),
    Form(
        "private key",
        ("Private-Lines:",),
        rf"(?P<keep>Private-Lines: ?[0-9]{{1,4}}\s{{1,4}})(?:{_KEY_LINE}){{1,400}}+",
    ),
    Form(
        "password in a URL",
        ("://",),
        r"(?P<keep>://[^/\s:@\"'{}<>$%*]{0,100}:)"
        r"(?!(?i:pass|passwd|password|secret|changeme|example|postgres|pw)@|\[redacted)"
        r"[^/\s@\"'{}<>$*]{6,200}(?=@)",
    ),
    Form(
        "token in a URL",
        ("://",),
        r"(?P<keep>://)(?=[A-Za-z_-]{0,100}[0-9])[A-Za-z0-9_-]{16,200}(?::[^/\s@]{0,99})?(?=@)",
    ),
    Form(
        "signed URL",
        ("=",),
        r"(?P<keep>[?&#](?:[A-Za-z0-9-]{0,30}[_-])?"
        r"(?i:token|key|sig|signature|secret|password)=)" + _TELLING,
    ),
    Form(
        "credentials",
        ("Basic ", "basic "),
        r"(?P<keep>(?<![A-Za-z])[Bb]asic )(?P<token>[A-Za-z0-9+/]{6,}+={0,2})",
        _is_login,
    ),
    Form(
        "bearer token",
        ("Bearer ",),
        r"(?P<keep>\bBearer )(?=[A-Za-z+/=._~-]{0,99}[0-9])[A-Za-z0-9+/=._~-]{16,}",
    ),
    Form(
        "flag",
        ("--",),
        r"(?P<keep>--(?:[A-Za-z0-9]{1,30}[_-]){0,4}(?i:token|key|secret|password|passwd)[ =])"
        + _NO_VARIABLE
        + _TELLING,
    ),
    Form(
        "flag",
        ("--",),
        r"(?P<keep>--(?:[A-Za-z0-9]{1,30}[_-]){0,4}(?:pass|passphrase|passwd|password|pw|pwd)[ =])"
        r"(?!(?<=pwd.)(?:~|\.{1,2})?/)"
        + _NO_VARIABLE
        + r"(?=[^\s]{0,60}[0-9])(?=[^\s]{0,60}[A-Za-z])[A-Za-z0-9+/_%~.!@#^*-]{6,}",
    ),
    Form(
        "login",
        ("-u ", "-u'", '-u"', "-u\\", "--user"),
        r"(?P<keep>(?<![A-Za-z0-9_-])--?u(?:ser)?(?:[ =][\"']?|\\?[\"'], ?\\?[\"'])"
        r"[^\s:/\"']{1,100}:)"
        r"(?=[^\s]{0,60}[0-9])(?P<password>[A-Za-z0-9+/_%~.!@#^*-]{6,400}+)",
        _is_sent,
    ),
    Form(
        "password",
        ("word=", "WORD=", "wd=", "WD=", "pass=", "PASS=", "pw="),
        r"(?P<keep>(?P<name>(?i:pass(?:word|wd|phrase)?|pwd?))=)"
        r"(?P<value>[^\s\"'\\{}<>$%()\[\]&;,`|]{6,200}+)(?![({\[<$%`])",
        _is_in_literal,
    ),
    Form(
        "password",
        (" -p",),
        r"(?P<keep>(?:mysql(?:dump|admin|import)?|mariadb(?:-dump)?|sshpass)"
        r"(?: [^\s|;&]{1,200}){0,10}? -p)" + _TELLING,
    ),
)
"""What is looked for in code only. In other texts the names decide: see `texts`."""
_MARKS: Final = tuple((mark, form) for form in FORMS for mark in form.marks)
_RUN: Final = re.compile(rf"[A-Za-z0-9_.~+/=:@-]{{{MIN_LENGTH}}}")
"""No token without so many of its characters in a row: what most short texts do not have."""


def redact_forms(text: str) -> str:
    """`text` with each token of a known form replaced by what it was: ``[redacted npm token]``."""
    for form in _forms_in(text, (_PRIVATE_KEY, _PUTTY_KEY, *_AROUND)):
        text = _compiled(form).sub(_replaced(form), text)
    return text


def find_forms(text: str) -> Iterator[tuple[int, int, str]]:
    """Where tokens of a known form stand in `text`, of a file of code: begin, end and kind."""
    for form in _forms_in(text, (*_AROUND, *_IN_CODE)):
        for match in _compiled(form).finditer(text):
            if form.holds is not None and not form.holds(match):
                continue
            start = match.end("keep") if "keep" in match.re.groupindex else match.start()
            yield start, match.end(), form.kind


def holds_form(text: str) -> bool:
    """Whether `text`, of a file of code, holds a token of a known form."""
    return any(True for _ in find_forms(text))


def _forms_in(text: str, others: Iterable[Form]) -> list[Form]:
    """The forms whose marks `text` holds."""
    found = [form for form in others if any(mark in text for mark in form.marks)]
    if _RUN.search(text):
        found += [form for mark, form in _MARKS if mark in text]
    return found


@cache
def _compiled(form: Form) -> re.Pattern[str]:
    at_edge = form in FORMS
    return re.compile((_START if at_edge else "") + form.pattern)


def _replaced(form: Form) -> str:
    kept = r"\g<keep>" if "(?P<keep>" in form.pattern else ""
    return f"{kept}[redacted {form.kind}]"
