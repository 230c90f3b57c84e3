"""Names and texts as they occur around machine learning; every value is made up."""

import base64
import json
from random import Random
from urllib.parse import quote, quote_plus

SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "WANDB_API_KEY",
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY", "COMET_API_KEY", "NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN", "CLEARML_API_SECRET_KEY", "CLEARML_API_ACCESS_KEY", "KAGGLE_KEY",
    "GITHUB_TOKEN", "GH_TOKEN", "GH_PAT", "GITLAB_PRIVATE_TOKEN", "CI_JOB_TOKEN",
    "CI_REGISTRY_PASSWORD", "DOCKER_PASSWORD", "DOCKER_AUTH_CONFIG", "NPM_TOKEN", "PYPI_TOKEN",
    "TWINE_PASSWORD", "UV_PUBLISH_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "AZURE_DEVOPS_PAT",
    "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "GCP_SA_KEY", "MINIO_SECRET_KEY",
    "MINIO_ROOT_PASSWORD", "S3_SECRET", "PGPASSWORD", "POSTGRES_PASSWORD", "MYSQL_PWD",
    "DB_PASS", "REDIS_AUTH", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SENTRY_DSN",
    "DJANGO_SECRET_KEY", "JWT_SECRET", "SSH_PRIVATE_KEY", "SSH_PASSPHRASE", "SLURM_JWT",
    "VAULT_TOKEN", "CONSUL_HTTP_TOKEN", "COHERE_API_KEY", "REPLICATE_API_TOKEN",
    "LANGSMITH_API_KEY", "USER_TOKEN", "SLACK_SYSTEM_TOKEN", "token_value",
    "PINECONE_API_KEY", "DATABRICKS_TOKEN", "SNOWFLAKE_PASSWORD", "api_key", "apiKey",
    "db-password", "clientSecret", "AuthToken", "aws.secret_access_key", "session_cookie",
    "pass", "PASS", "pw", "pwd", "user_pass", "userPass", "db-pw", "db_pwd", "LDAP_PW",
)  # fmt: skip

BENIGN_NAMES = (
    "PATH", "PWD", "OLDPWD", "HOME", "LANG", "SHELL", "CUDA_VISIBLE_DEVICES", "WANDB_PROJECT",
    "WANDB_BASE_URL", "HF_HOME", "TOKENIZERS_PARALLELISM", "SSH_AUTH_SOCK", "XAUTHORITY",
    "KAGGLE_USERNAME", "PYTHONHASHSEED", "MASTER_ADDR", "OMP_NUM_THREADS", "SLURM_JOB_ID",
    "max_tokens", "max_new_tokens", "num_tokens", "pad_token", "eos_token_id", "bos_token",
    "unk_token", "tokenizer", "tokenizer_name", "token_type_ids", "vocab_size", "n_passes",
    "forward_pass", "sort_key", "primary_key", "label_key", "key", "keys", "key_dim",
    "num_key_value_heads",
    "author", "authors", "optimizer", "lr", "batch_size", "compass",
    "secretary_problem",
    "tokenizer_token", "eot_token", "padding_token", "sentinel_token", "token_mask",
    "token_positions", "token_pooling", "token_mixer", "fim_prefix_token",
    "pass_rate", "passes", "first_pass", "n_pass", "two_pass", "bypass", "pwm", "pwconv", "conv_pw",
    "pw_kernel_size", "oldpwd", "monkey", "public_key", "signal", "pattern", "path", "use_cache",
)  # fmt: skip

COMMANDS = (
    # The arguments, and what must not be left of them.
    (["train.py", "--api-key", "sesame-1"], "sesame-1"),
    (["train.py", "--api-key=sesame-2"], "sesame-2"),
    (["train.py", "--token=sesame-3"], "sesame-3"),
    (["train.py", "--wandb-api-key", "sesame-4", "--lr", "0.1"], "sesame-4"),
    (["env", "HF_TOKEN=sesame-5", "python", "train.py"], "sesame-5"),
    (["train.py", "hub.token=sesame-6"], "sesame-6"),
    (["train.py", "+logger.wandb.api_key=sesame-7"], "sesame-7"),
    (["train.py", "--db", "postgres://me:sesame-8@db.example.org/x"], "sesame-8"),
    (["train.py", "--repo", "https://ghp_0123456789abcdefghijABCDEFGHIJ012345@example.org/a"],
     "ghp_0123"),
    (["curl", "-H", "Authorization: Bearer sesame.9.abcdefgh"], "sesame.9"),
    (["bash", "-c", "export WANDB_API_KEY=sesame-10 && python train.py"], "sesame-10"),
    (["train.py", "--password", "-sesame-11"], "-sesame-11"),
    (["train.py", "--config", '{"api_key": "sesame-12", "lr": 1}'], "sesame-12"),
    (["train.py", "--url", "https://example.org/a?access_token=sesame-13&x=1"], "sesame-13"),
    (["train.py", "hf_abcdefghijklmnopqrstuvwxyz012345"], "hf_abc"),
    (["train.py", "sk-proj-abcdefghijklmnopqrstuvwxyz"], "sk-proj"),
    (["train.py", "AKIAABCDEFGHIJKLMNOP"], "AKIA"),
    (["train.py", "glpat-abcdefghijklmnopqrst"], "glpat"),
    (["train.py", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk"], "eyJzdWIi"),
    (["x", "-----BEGIN PRIVATE KEY-----\nMIIsesame\n-----END PRIVATE KEY-----"], "MIIsesame"),
    (["train.py", "--pw", "sesame-14"], "sesame-14"),
    (["train.py", "--pass=sesame-15"], "sesame-15"),
    (["curl", "-u", "me:sesame-16", "https://example.org"], "sesame-16"),
    (["curl", "--user=me:sesame-17"], "sesame-17"),
    (["bash", "-c", "train.py --api-key sesame-18 && curl -u me:sesame-19 x"], "sesame-1"),
    (["get", "https://example.org/a?X-Amz-Date=1&X-Amz-Signature=sesame20"], "sesame20"),
    (["get", "https://example.org/a?x=sesame21&X-Amz-Credential=1"], "sesame21"),
    (["get", "https://example.org/a?sig=sesame22&sv=1"], "sesame22"),
    (["train.py", "--pwd", "sesame23"], "sesame23"),
    (["train.py", "--pwd=sesame24"], "sesame24"),
    (["train.py", "pw=sesame25"], "sesame25"),
    (["train.py", "+db.pass=sesame26"], "sesame26"),
    (["env", "PWD=sesame27", "train.py"], "sesame27"),
)  # fmt: skip

BENIGN_COMMANDS = (
    ["python", "train.py", "--lr=0.1", "--max-tokens", "128"],
    ["python", "-m", "torch.distributed.run", "--nproc-per-node=2", "train.py"],
    ["train.py", "model.pad_token=<pad>", "data.path=/data/a b/c.jsonl", "seed=42"],
    ["train.py", "--tokenizer", "gpt2", "--sort-key=length", "https://example.org/data?x=1"],
    ["train.py", "optim: adamw, lr: 0.1, steps: 100"],
    ["ssh", "-p", "2222", "docker", "run", "-u", "1000:1000"],
    ["python", "-u", "train.py", "--note", "basic training --max-tokens 5 -u"],
    ["train.py", "--pass", "3", "--n-pass=2", "pass=1", "--pwd", "/home/me", "pwd=~/a b", "PWD=/x"],
)


def _made_up(length: int, alphabet: str, seed: str) -> str:
    """Characters that look random and are always the same ones."""
    random = Random(seed)
    return "".join(random.choice(alphabet) for _ in range(length))


_WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = "0123456789abcdef"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

# Kind, what the token begins with, how long the rest is, and of which characters: no whole token
# stands in this file.
_TOKENS = (
    ("Hugging Face", "hf_", 34, _WORD), ("Hugging Face organisation", "api_org_", 34, _WORD),
    ("OpenAI", "sk-", 48, _WORD), ("OpenAI project", "sk-proj-", 60, _WORD),
    ("OpenAI service", "sk-svcacct-", 60, _WORD), ("Anthropic", "sk-ant-api03-", 90, _WORD),
    ("OpenRouter", "sk-or-v1-", 64, _HEX), ("Langfuse", "sk-lf-", 36, _HEX),
    ("W&B, new", "wandb_v1_", 60, _WORD), ("Replicate", "r8_", 37, _WORD),
    ("Groq", "gsk_", 52, _WORD), ("xAI", "xai-", 80, _WORD), ("Perplexity", "pplx-", 48, _WORD),
    ("NVIDIA", "nvapi-", 64, _WORD), ("LangSmith", "lsv2_pt_", 43, _WORD),
    ("Pinecone", "pcsk_", 60, _WORD), ("Kaggle", "KGAT_", 32, _HEX),
    ("Neptune", "eyJhcGlfYWRkcmVzcyI6", 80, _WORD), ("Together", "tgp_v1_", 43, _WORD),
    ("RunPod", "rpa_", 40, _UPPER), ("Databricks", "dapi", 32, _HEX),
    ("Prefect", "pnu_", 36, _WORD),
    ("AWS key", "AKIA", 16, _UPPER), ("AWS session key", "ASIA", 16, _UPPER),
    ("Google API", "AIza", 35, _WORD), ("Google access", "ya29.", 60, _WORD),
    ("Google refresh", "1//0", 60, _WORD), ("Google client", "GOCSPX-", 28, _WORD),
    ("Azure client", "abc8Q~", 34, _WORD), ("DigitalOcean", "dop_v1_", 64, _HEX),
    ("Heroku", "HRKU-", 58, _WORD), ("Tailscale", "tskey-auth-", 30, _WORD),
    ("Terraform", "AbCdEfGhIjKlMn.atlasv1.", 67, _WORD), ("Pulumi", "pul-", 40, _HEX),
    ("Vault", "hvs.", 90, _WORD), ("Vault batch", "hvb.", 90, _WORD),
    ("Doppler", "dp.pt.", 43, _WORD), ("1Password", "ops_eyJ", 90, _WORD),
    ("GitHub classic", "ghp_", 36, _WORD), ("GitHub OAuth", "gho_", 36, _WORD),
    ("GitHub user", "ghu_", 36, _WORD), ("GitHub server", "ghs_", 36, _WORD),
    ("GitHub refresh", "ghr_", 36, _WORD), ("GitHub fine-grained", "github_pat_", 82, _WORD),
    ("GitLab", "glpat-", 20, _WORD), ("GitLab deploy", "gldt-", 20, _WORD),
    ("GitLab runner", "glrt-", 20, _WORD), ("Atlassian", "ATATT3", 180, _WORD),
    ("Bitbucket", "ATBB", 32, _WORD), ("npm", "npm_", 36, _WORD), ("PyPI", "pypi-", 160, _WORD),
    ("RubyGems", "rubygems_", 48, _HEX), ("Docker", "dckr_pat_", 27, _WORD),
    ("Artifactory", "AKCp", 69, _WORD), ("CircleCI", "CCIPAT_", 60, _WORD),
    ("Buildkite", "bkua_", 40, _HEX), ("Sentry", "sntrys_", 80, _WORD),
    ("Netlify", "nfp_", 40, _WORD), ("Slack bot", "xoxb-", 50, _WORD),
    ("Slack app", "xapp-", 60, _WORD),
    ("Stripe", "sk_live_", 24, _WORD), ("Stripe restricted", "rk_live_", 24, _WORD),
    ("webhook", "whsec_", 32, _WORD), ("Twilio", "SK", 32, _HEX), ("Mailgun", "key-", 32, _HEX),
    ("Grafana", "glsa_", 41, _WORD), ("New Relic", "NRAK-", 27, _UPPER),
    ("Linear", "lin_api_", 40, _WORD), ("Notion", "ntn_", 46, _WORD), ("Figma", "figd_", 40, _WORD),
    ("Dropbox", "sl.", 130, _WORD), ("PlanetScale", "pscale_tkn_", 43, _WORD),
    ("Supabase", "sbp_", 40, _HEX), ("Shopify", "shpat_", 32, _HEX),
    ("Square", "sq0atp-", 22, _WORD),
    ("age", "AGE-SECRET-KEY-1", 58, _UPPER), ("Typeform", "tfp_", 59, _WORD),
)  # fmt: skip
PLANTED = {
    kind: start + _made_up(length, alphabet, kind) for kind, start, length, alphabet in _TOKENS
} | {
    "SendGrid": f"SG.{_made_up(22, _WORD, 'a')}.{_made_up(43, _WORD, 'b')}",
    "Telegram": f"123456789:AA{_made_up(33, _WORD, 'c')}",
    "Mailchimp": f"{_made_up(32, _HEX, 'd')}-us12",
    "JWT": ".".join(f"eyJ{_made_up(40, _WORD, part)}" for part in "ef")
    + f".{_made_up(43, _WORD, 'g')}",
    "Postman": f"PMAK-{_made_up(24, _HEX, 'h')}-{_made_up(34, _HEX, 'i')}",
    "Airtable": f"pat{_made_up(14, _WORD, 'j')}.{_made_up(64, _HEX, 'k')}",
}
"""Tokens that are known by their form, in any text."""

IN_CONTEXT = {
    "DSN": ("postgres://me:{}@db.example.org:5432/x", _made_up(16, _WORD, "l")),
    "basic auth": ("https://me:{}@example.org/a", _made_up(16, _WORD, "m")),
    "token in a URL": ("https://{}@example.org/a", _made_up(24, _WORD, "n")),
    "query": ("https://example.org/a?access_token={}", _made_up(16, _WORD, "o")),
    "signed URL": ("https://b.s3.example.org/k?X-Amz-Signature={}", _made_up(64, _HEX, "p")),
    "shared access": ("https://a.example.org/c?sv=2024&sig={}", _made_up(43, _WORD, "q")),
    "account key": ("AccountName=a;AccountKey={}==", _made_up(86, _WORD, "r")),
    "W&B": ("wandb login key {}", _made_up(40, _HEX, "s")),
    "netrc": ("machine api.example.org login me password {}", _made_up(20, _WORD, "t")),
    "pgpass": ("db.example.org:5432:x:me:{}", _made_up(20, _WORD, "u")),
    "bearer": ("Authorization: Bearer {}", _made_up(40, _WORD, "v")),
    "magic": ("%env API_KEY {}", _made_up(20, _WORD, "x1")),
    "other magic": ("%set_env DB_PASSWORD '{}'", _made_up(20, _WORD, "x2")),
    "setx": ('setx HF_TOKEN "{}" /M', _made_up(20, _WORD, "x3")),
    "setenv": ("setenv HF_TOKEN {}; make", _made_up(20, _WORD, "x4")),
    "fish": ("set -gx API_KEY {}", _made_up(20, _WORD, "x5")),
    "environment": ('os.environ["API_KEY"] = "{}"', _made_up(20, _WORD, "x6")),
    "basic": ("Authorization: Basic {}=", _made_up(31, _WORD, "w")),
    "assignment": ("export COHERE_API_KEY={}", _made_up(40, _WORD, "x")),
    "JSON": ('{{"auths": {{"r": {{"auth": "{}"}}}}}}', _made_up(40, _WORD, "y")),
    "mapping": ("{{'client_secret': '{}', 'lr': 0.1}}", _made_up(40, _WORD, "z")),
    "flag": ("train.py --db-password {} --lr 1", _made_up(20, _WORD, "A")),
    "mysql": ("mysql -u me -p{} db", _made_up(20, _WORD, "B")),
    "curl": ("curl -u me:{} https://example.org", _made_up(20, _WORD, "C")),
    "Slack hook": (
        "https://hooks.slack.com/services/{}",
        f"T00000000/B00000000/{_made_up(24, _WORD, 'D')}",
    ),
    "Discord hook": (
        "https://discord.com/api/webhooks/{}",
        f"123456789012345678/{_made_up(68, _WORD, 'E')}",
    ),
    "private key": (
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----",
        _made_up(70, _WORD, "F"),
    ),
    "private key in JSON": (
        '"private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"',
        _made_up(64, _WORD, "G"),
    ),
    "PGP key": (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        _made_up(64, _WORD, "H"),
    ),
    "kubeconfig": ("    client-key-data: {}", _made_up(80, _WORD, "I")),
    "SLURM": ("SLURM_JWT={}", f"eyJ{_made_up(30, _WORD, 'J')}"),
}  # fmt: skip
"""A text, and the secret in it that only the text tells."""

BY_VALUE = {
    "OPAQUE_API_KEY": _made_up(32, _WORD, "K"),
    "AWS_SECRET_ACCESS_KEY": _made_up(38, _WORD, "L") + "+/",
    "DB_PASSWORD": "p@ss wörd/" + _made_up(8, _WORD, "M"),
    "SERVICE_TOKEN": _made_up(24, _HEX, "N"),
}
"""Secrets without a form, known because a variable of this name holds them."""

BENIGN_TEXTS = (
    "%env CUDA_VISIBLE_DEVICES 0", "%set_env TOKENIZERS_PARALLELISM false", "%env API_KEY",
    "%env API_KEY $key", "%env API_KEY {key}", "%env USE_TOKEN true", "setx PATH C:\\bin",
    'os.environ["OMP_NUM_THREADS"] = "8"', "gpt2", "bert-base-uncased",
    "meta-llama/Llama-3.1-8B-Instruct",
    "sentence-transformers/all-MiniLM-L6-v2",
    "google/flan-t5-base", "facebook/opt-1.3b", "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "Qwen/Qwen2.5-7B",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "d41d8cd98f00b204e9800998ecf8427e", "7b18c2a", "123e4567-e89b-12d3-a456-426614174000",
    "urn:uuid:123e4567-e89b-12d3-a456-426614174000", "GPU-8f6d7c1a-0c1b-4c6e-9b1f-0d2a1c3e4f5a",
    "/data/imagenet/train/n01440764/n01440764_10026.JPEG",
    "s3://bucket/datasets/v2/part-00001.parquet",
    "gs://bucket/models/checkpoint-1000", "hdfs://namenode:8020/data", "C:\\Users\\me\\data",
    "https://huggingface.co/gpt2/resolve/main/config.json",
    "https://example.org/a?page=2&sort=name",
    "file:///srv/data", "git@github.com:me/repo.git is fetched", "max_tokens=128",
    "max_new_tokens: 64",
    "pad_token=<pad>", "eos_token_id: 50256", "tokenizer=gpt2", "num_tokens: 1000000",
    "token_count=77",
    "tokens/s: 1234.5", "key=value", "sort_key: length", "monkey", "keyboard", "turkey: 3",
    "num_key_value_heads=8", "key_dim: 64", "cache_key=abc", "author: Me", "authors=We",
    "epoch 3/10: loss=0.1234 acc=98.7% lr=3e-4", "step 1000 | 12.3 it/s | eta 00:10:00",
    "optim: adamw, lr: 0.1, steps: 100", "basic training", "the bearer of news",
    "secretary problem",
    "pass", "passes: 3", "compass", "forward_pass=2", "signal 15", "signature: (x, y)",
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUA", "AAAAB3NzaC1yc2EAAAADAQABAAABAQC",
    "1.2.3.4:8080", "[::1]:29500", "12:34:56", "2026-11-21T08:00:00+00:00", "1e-4",
    "0x7fffffffffff",
    "torch.Size([32, 128, 768])", "cuda:0", "float16", "CUDA_VISIBLE_DEVICES=0,1,2,3",
    "sk-learn-contrib-extras",
    "risk-adjusted-returns-model-v2", "task-classification-long-name-here", "hf_home",
    "key-value-store",
    "experiment_2026_11_21_resnet50_bs256_lr0.1_wd1e-4", "-----BEGIN CERTIFICATE-----",
    "user@example.org",
    "pass: 3", "pass=12/20", "PASS: test_login2", "--- PASS: TestLogin2 (0.00s)", "pass: done",
    "forward pass: 12.3ms", "backward pass: layer10", "pass=true", "PWD=/home/me1", "pwd: ~/a1b2c3",
    "pwd=$(pwd)", "pwd = os.getcwd()", "OLDPWD=/tmp/a1", "https://example.org/a?pass=2&page=3",
    "use_auth_token=True", "auth: false", "password=None", "token=null", "bos_token='<s>'",
)  # fmt: skip

HOSTILE = (
    "a", "a-", "eyJ-", "eyJaaaaaaaa.", "a://", "a://b:", "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY----- -----END ", "token=", "a=", "a='b", 'a="', "Bearer ", "ghp_",
    "sk-",
    "SG.aaaaaaaaaaaaaaaaaaaa", "login password ", "login a password ", " ", "\n", "-a ", "-u a:",
    "wandb ", "wandb key ", "mysql a ", "mysql -p", "sig=", "?a=1&", ".atlasv1.", "8Q~", "-us1",
    "%env ", "%env token ", "setx a ", "!token ", "!a=",
    "Private-Lines: 1\n", " -p ", "://a@", "x:5432:", "\x1b[", '\\"', "password = ",
)  # fmt: skip
"""What a slow pattern would stumble over, again and again."""


def parts_of(secret: str, text: str) -> bool:
    """Whether `text` holds a telling part of `secret`: its beginning, its middle or its end."""
    third = max(len(secret) // 3, 8)
    middle = len(secret) // 2
    return any(
        part in text
        for part in (secret[-third:], secret[middle - 6 : middle + 6], secret[4 : 4 + third])
    )


def spellings(value: str) -> set[str]:
    """`value` as programs write it: for URLs, JSON, Python, in hexadecimal and base64."""
    data = value.encode()
    whole = base64.b64encode(b"me:" + data + b":x").decode()
    return {
        value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1],
        repr(value)[1:-1], ascii(value)[1:-1], data.hex(),
        base64.b64encode(data).decode().rstrip("="),
        base64.urlsafe_b64encode(data).decode().rstrip("="), whole,
    }  # fmt: skip
