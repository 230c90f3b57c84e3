"""Names and texts as they occur around machine learning; every value is made up."""

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
    "LANGSMITH_API_KEY",
    "PINECONE_API_KEY", "DATABRICKS_TOKEN", "SNOWFLAKE_PASSWORD", "api_key", "apiKey",
    "db-password", "clientSecret", "AuthToken", "aws.secret_access_key", "session_cookie",
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
    "pass_rate", "monkey", "public_key", "signal", "pattern", "path", "use_cache",
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
)  # fmt: skip

BENIGN_COMMANDS = (
    ["python", "train.py", "--lr=0.1", "--max-tokens", "128"],
    ["python", "-m", "torch.distributed.run", "--nproc-per-node=2", "train.py"],
    ["train.py", "model.pad_token=<pad>", "data.path=/data/a b/c.jsonl", "seed=42"],
    ["train.py", "--tokenizer", "gpt2", "--sort-key=length", "https://example.org/data?x=1"],
    ["train.py", "optim: adamw, lr: 0.1, steps: 100"],
)
