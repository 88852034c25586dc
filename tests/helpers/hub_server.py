"""A server that answers as the Hugging Face Hub does, as far as textae asks: repositories in memory, on loopback."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories by name, each with the files of its branches; and what was asked.

    Attributes:
        repositories: files by name, by branch, by repository.
        private: the repositories that were made private.
        asked: method and path of each request.
        fetched: the files whose content was sent.
        endpoint: the address of the server.
    """

    def __init__(self):
        self.repositories, self.private, self.asked, self.fetched, self.endpoint = {}, set(), [], [], ""

    def branch(self, repository, revision):
        """Return the files of a branch, or of the commit of one; None where there is none."""
        branches = self.repositories.get(repository, {})
        commits = {self.commit(files): files for files in branches.values()}
        return branches.get(revision, commits.get(revision))

    @staticmethod
    def commit(files):
        return hashlib.sha1(b"".join(name.encode() + b"\0" + files[name] for name in sorted(files))).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {path}")
        for pattern, function in self._routes():
            if match := re.fullmatch(pattern, path):
                return function(*match.groups(), body)
        return self._missing("EntryNotFound")

    def _routes(self):
        name = r"([\w.-]+/[\w.-]+)"
        return [
            (r"/api/repos/create", self._create),
            (r"/api/validate-yaml", lambda body: self._json({"errors": [], "warnings": []})),
            (rf"/api/models/{name}/branch/(.+)", self._create_branch),
            (rf"/api/models/{name}/preupload/(.+)", self._preupload),
            (rf"/api/models/{name}/commit/(.+)", self._commit),
            (rf"/api/models/{name}/revision/(.+)", self._info),
            (rf"/api/models/{name}/tree/([^/]+)", self._tree),
            (rf"/api/models/{name}", lambda repository, body: self._info(repository, "main", body)),
            (rf"/{name}/resolve/([^/]+)/(.+)", self._file),
        ]

    def _create(self, body):
        wanted = json.loads(body)
        repository = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repository)
        self.hub.repositories.setdefault(repository, {"main": {}})
        self._json({"url": f"{self.hub.endpoint}/{repository}"})

    def _create_branch(self, repository, branch, body):
        self.hub.repositories[repository].setdefault(branch, dict(self.hub.repositories[repository]["main"]))
        self._json({})

    def _preupload(self, repository, revision, body):
        names = [file["path"] for file in json.loads(body)["files"]]
        self._json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})

    def _commit(self, repository, revision, body):
        files = self.hub.repositories[repository][revision]
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self._json({"commitOid": self.hub.commit(files), "commitUrl": f"{self.hub.endpoint}/{repository}/commit/1"})

    def _info(self, repository, revision, body):
        files = self.hub.branch(repository, revision)
        if files is None:
            return self._missing("RevisionNotFound" if repository in self.hub.repositories else "RepoNotFound")
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        sha = self.hub.commit(files)
        return self._json({"_id": "1", "id": repository, "modelId": repository, "sha": sha, "siblings": siblings})

    def _tree(self, repository, revision, body):
        files = self.hub.branch(repository, revision) or {}
        self._json([{"type": "file", "path": n, "size": len(c), "oid": _etag(c)} for n, c in files.items()])

    def _file(self, repository, revision, name, body):
        files = self.hub.branch(repository, revision)
        if files is None or name not in files:
            return self._missing("EntryNotFound")
        if self.command == "GET":
            self.hub.fetched.append(name)
        headers = {"ETag": f'"{_etag(files[name])}"', "X-Repo-Commit": self.hub.commit(files)}
        return self._send(200, files[name], headers)

    def _json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _missing(self, code):
        self._send(404, b"{}", {"X-Error-Code": code, "X-Error-Message": "not found"})

    def _send(self, status, content, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(content):
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serving():
    """Serve an empty Hub meanwhile."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
