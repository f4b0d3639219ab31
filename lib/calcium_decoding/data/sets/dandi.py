"""Sets of the DANDI archive: which of their files an entry chooses, and where each comes from."""

from calcium_decoding.data.sets.entries import PinnedFile, validated
from calcium_decoding.errors import DataError

DIGEST = "dandi:sha2-256"
TIMEOUT_S = 30


def chosen(entry):
    """Assets that an entry chooses, a list of dict with ``path``, ``size`` and ``asset_id``, in order of their paths.

    DataError: no connection, another answer than the archive's, or no asset that the entry chooses.
    """
    url, found, n_seen = f"{entry.api}/dandisets/{entry.dandiset}/versions/{_version(entry)}/assets/", [], 0
    parameters = {"page_size": 1000, "order": "path"}
    while url:
        answer = _ask(url, entry, parameters)
        try:
            assets = [{name: asset[name] for name in ("path", "size", "asset_id")} for asset in answer["results"]]
            url, parameters = answer["next"], None  # which has the parameters in it
        except (KeyError, TypeError) as error:
            raise _other_answer(entry, url, error) from error
        n_seen += len(assets)
        found += [asset for asset in assets if entry.chooses(asset["path"])]
    if not found:
        raise DataError(f"dandiset {entry.dandiset}", f"none of {n_seen} paths like {' or '.join(entry.paths)}"
                        f"{' with ' + ' and '.join(entry.containing) if entry.containing else ''}",
                        "paths that the entry chooses", f"mend paths and containing of '{entry.name}'")
    return sorted(found, key=lambda asset: asset["path"])


def addresses(entry, only=None):
    """Where assets of an entry are downloaded or streamed from, dict by path; ``only``: those that match this."""
    return {asset["path"]: f"{entry.api}/assets/{asset['asset_id']}/download/" for asset in chosen(entry)
            if only is None or entry.chooses(asset["path"], [only])}


def files(entry):
    """Files of an entry with size and SHA-256, list of PinnedFile, and where they come from, dict by path."""
    found, urls = [], {}
    for asset in chosen(entry):
        where = f"dandiset {entry.dandiset}, {asset['path']}"
        url = f"{entry.api}/assets/{asset['asset_id']}/"
        about = _ask(url, entry)
        try:
            digests, size = about["digest"], about["contentSize"]
        except (KeyError, TypeError) as error:
            raise _other_answer(entry, url, error) from error
        if DIGEST not in digests or size != asset["size"]:
            raise DataError(where, f"the sums {', '.join(digests)} and {size} bytes", f"{DIGEST} and {asset['size']} "
                            "bytes", "the archive has not finished with this file, or it is no single file: try later, "
                            "or leave it out by the entry's paths")
        found.append(validated(PinnedFile, {"target": asset["path"], "bytes": size,
                                            "checksum": f"sha256:{digests[DIGEST]}"}, where))
        urls[asset["path"]] = f"{url}download/"
    return found, urls


def _version(entry):
    """The version of an entry; ``latest`` is the one published last."""
    if entry.version != "latest":
        return entry.version
    url = f"{entry.api}/dandisets/{entry.dandiset}/"
    answer = _ask(url, entry)
    try:
        published = answer["most_recent_published_version"]
        return "draft" if published is None else published["version"]
    except (KeyError, TypeError) as error:
        raise _other_answer(entry, url, error) from error


def _ask(url, entry, parameters=None):
    import requests

    try:
        answer = requests.get(url, params=parameters, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except requests.exceptions.JSONDecodeError as error:
        raise _other_answer(entry, url, error) from error
    except requests.exceptions.RequestException as error:
        code = getattr(error.response, "status_code", None)
        raise DataError(f"dandiset {entry.dandiset}", f"no connection to {url} ({type(error).__name__})" if code is None
                        else f"the answer {code} from {url}", "what the archive says of its files",
                        "see that the network is there and try again, or get the files by hand from the archive and "
                        f"save them in the folder {entry.folder} of the data directory") from error


def _other_answer(entry, url, error):
    return DataError(f"dandiset {entry.dandiset}", f"an answer of {url} that is not the archive's ({error!r})",
                     "a list of assets, or what is said of one", "see that its address is right, and try later")
