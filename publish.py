"""Publish a trained model on the Hugging Face Hub:

    python publish.py --model runs/tiny --repo you/my-model [--dry-run OUT] [--space]

A folder is built that needs nothing else (hub/repository.py): weights, the code that runs them, the
card, and the files by which transformers, Inference Endpoints and a Space find their way. It is
shown, then uploaded in one commit. What others added to the repository stays.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi, get_token

from hub.leaderboard import add_entry, check_input
from hub.merge import merge, texts_there
from hub.repository import ERRORS, build, complaint, listing


def main() -> int:
    parser = argparse.ArgumentParser(description="Publish a trained model on the Hugging Face Hub.")
    parser.add_argument("--model", required=True, type=Path, help="a run's folder")
    parser.add_argument("--repo", required=True, help="you/my-model")
    parser.add_argument("--space", action="store_true", help="also a Space: a page to try it on")
    parser.add_argument("--private", action="store_true", help="visible to you alone")
    parser.add_argument("--license", default="mit", help="of the weights; default: mit")
    parser.add_argument("--dry-run", type=Path, metavar="OUT", help="write the folder and stop")
    args = parser.parse_args()
    token = get_token()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            publish(args, args.dry_run or Path(temporary) / "model", token)
    except (*ERRORS, KeyboardInterrupt) as error:
        cause = RuntimeError("Ctrl-C") if isinstance(error, KeyboardInterrupt) else error
        print(complaint(cause, args.repo).replace(token or "\0", "***"), file=sys.stderr)
        return 1
    return 0


def publish(args, out: Path, token: str | None) -> None:
    """Build what was asked for in `out` (a Space beside it), and upload it. Raises ERRORS."""
    check_input(args.model, args.repo)
    folders = build(out, args.model, args.repo, args.license, args.space)
    for kind, folder in folders.items():
        if args.dry_run:
            shown = "private" if args.private else "public, unless you made it private"
            print(f"{folder}, for the {kind} {args.repo}, {shown}:\n{listing(folder)}")
        elif token is None:
            raise ValueError("no token: log in with `hf auth login`, or set HF_TOKEN")
        else:
            print(upload(folder, args.repo, kind, args.private, HfApi(token=token)))
    if not args.dry_run:
        print(add_entry(args.model, args.repo, HfApi(token=token).model_info(args.repo).private))


def upload(folder: Path, repo: str, kind: str, private: bool, api: HfApi) -> str:
    """Show what will be uploaded, create the repository where there is none, and upload in one
    commit. Returns the URL. What a call that was cut off had sent is not sent again."""
    secret = kind == "space" and api.model_info(repo).private
    hidden = private or secret or None  # None: as its owner's new ones are
    sdk = "gradio" if kind == "space" else None
    url = api.create_repo(repo, repo_type=kind, exist_ok=True, private=hidden, space_sdk=sdk)
    there = api.repo_info(repo, repo_type=kind)
    if private and not there.private:
        raise ValueError(f"{kind} {repo} is public already; make it private in its settings first")
    stale = merge(folder, texts_there(api, repo, kind, there.sha))
    print(f"{kind} {repo}, {'private' if there.private else 'public'}:\n{listing(folder)}")
    # Refused where somebody committed after we looked: what they changed would be lost.
    api.upload_folder(
        repo_id=repo, repo_type=kind, folder_path=folder, delete_patterns=stale,
        commit_message="Publish with Tiny Audio", parent_commit=there.sha,
    )  # fmt: skip
    note = "\nIts model is private: add a secret HF_TOKEN with read rights in the Space's settings."
    return f"{url}{note if secret else ''}"


if __name__ == "__main__":
    sys.exit(main())
