"""Container images of this build, without an engine: from a bare Debian and docker/Dockerfile, with what
`cmake --install` has in the place of the stage that compiles; and containers as deployments run them.
"""

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from sparsed_server import BINARY, Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(BINARY).parents[1]
NANO = "/usr/share/sparsed/models/nano"
DEBIAN = "bookworm"
BASE = "localhost/bare:1"
LABELS = {"VERSION": "1.2.3", "REVISION": "abc", "CREATED": "2026-01-02T03:04:05Z",
          "SOURCE": "https://sparsed.invalid"}
# As deploy/kustomize and docker/compose.yaml have it.
CONFINED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges"]
_numbers = itertools.count()


class Store:
    """Images and containers of our own, beside whatever the machine has. Each is gone at the end."""

    def __init__(self):
        assert os.geteuid() == 0, "only root may set up root file systems"
        self._folder = tempfile.TemporaryDirectory(prefix="sparsed-images-")
        self.folder = pathlib.Path(self._folder.name)
        # What podman asks for by default is more than a confined root may give.
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'tmp_dir = "{self.folder}/tmp"\n')
        self.environment = {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)}
        # Not every kernel has an overlay upon the folder's file system; copying always works.
        for driver in ("overlay", "vfs"):
            (self.folder / "storage.conf").write_text(
                f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.folder}/{driver}"\n'
                f'runroot = "{self.folder}/run"\n')
            if self.ran("podman", "info").returncode == 0:
                break

    def ran(self, *words, **changes):
        return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              timeout=180, env={**os.environ, **self.environment, **changes})

    def run(self, *words, **changes):
        """What it prints; with what it complains of if it fails."""
        done = self.ran(*words, **changes)
        assert done.returncode == 0, f"{words}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def inspect(self, what):
        return json.loads(self.run("podman", "inspect", what))[0]

    def process_of(self, container):
        """What the kernel says of a container's first process: its status by name, its mounts."""
        folder = pathlib.Path("/proc") / str(self.inspect(container)["State"]["Pid"])
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines()
                      if ":\t" in line)
        return status, (folder / "mountinfo").read_text().splitlines()

    def bootstrap(self):
        """The image that the Dockerfile starts from: packages that are essential, and apt."""
        layer = self.folder / "layer.tar"
        # The temporary folder must be open to apt's own account.
        # The hook merges /usr as installing Debian does: a package for that brings all of Perl.
        self.run("mmdebstrap", "--mode=root", "--variant=apt", "--dpkgopt=force-unsafe-io",
                 "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
                 "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                 "--dpkgopt=path-exclude=/usr/share/locale/*", DEBIAN, layer, TMPDIR="/tmp")
        # As `docker save` writes one; `podman import` takes six times as long.
        digest = self.run("sha256sum", layer).split()[0]
        (self.folder / "config.json").write_text(json.dumps({
            "architecture": self.run("dpkg", "--print-architecture"), "os": "linux",
            "history": [{"created_by": "mmdebstrap"}],
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}}))
        (self.folder / "manifest.json").write_text(json.dumps([{
            "Config": "config.json", "Layers": [layer.name],
            "RepoTags": [BASE]}]))
        archive = self.folder / "base.tar"
        with tarfile.open(archive, "w") as tar:
            for part in ("manifest.json", "config.json", layer.name):
                tar.add(self.folder / part, part)
        self.run("podman", "load", "--input", archive)
        layer.unlink()
        archive.unlink()

    def build(self, target, stage, *options, cuda=False):
        """The image of a target of the Dockerfile; `stage` is what compiles for it."""
        installed = self.folder / stage
        self.run("cmake", "--install", BUILD, "--prefix", "/usr", "--strip",
                 DESTDIR=str(installed / "installed"))
        if not cuda:
            shutil.rmtree(installed / "installed" / "usr" / "lib" / "sparsed", ignore_errors=True)
        arguments = [word for label in LABELS.items()
                     for word in ("--build-arg", "%s=%s" % label)]
        # OCI's format knows no health check. The layers that two targets share are made once.
        self.run("buildah", "bud", "--pull-never", "--layers", "--format", "docker",
                 "--build-context", f"{stage}={installed}", "--build-arg", f"DEBIAN_IMAGE={BASE}", *arguments, *options,
                 "--target", target, "--tag", f"localhost/sparsed:{target}",
                 "--file", ROOT / "docker" / "Dockerfile", ROOT)
        return f"localhost/sparsed:{target}"

    def close(self):
        self.ran("podman", "pod", "rm", "--all", "--force", "--time", "0")
        self.ran("podman", "rm", "--all", "--force", "--time", "0")
        mounts = re.findall(rf" ({re.escape(str(self.folder))}\S*) ",
                            pathlib.Path("/proc/self/mountinfo").read_text())
        for mount in reversed(mounts):
            self.run("umount", mount)
        self._folder.cleanup()


class Container(Server):
    """A server that runs in a container of an image, on the machine's network."""

    def __init__(self, store, image, *flags, options=()):
        self.store, self.name = store, f"sparsed-{next(_numbers)}"
        super().__init__(*flags, model_dir=NANO, env=store.environment, program=[
            "podman", "run", "--name", self.name, "--pull", "never", "--no-healthcheck",
            "--network", "host", *CONFINED, *options, image])
