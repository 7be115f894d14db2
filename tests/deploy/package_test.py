"""The Debian packages of a build: fields, files, scripts, and that what is in them runs; and the
version that sources have by their tags.

    python3 tests/deploy/package_test.py BUILD_FOLDER    needs dpkg-dev and file; no root
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path("build/release")
SCRIPTS = ["postinst", "postrm", "prerm"]
NANO = "/usr/share/sparsed/models/nano"
# Beside the model's.
FILES = {
    "sparsed": {
        "/etc/sparsed/sparsed.env", "/usr/bin/sparsed", "/usr/lib/systemd/system/sparsed.service",
        "/usr/share/doc/sparsed/changelog.gz", "/usr/share/doc/sparsed/copyright",
        "/usr/share/man/man1/sparsed.1.gz"},
    "sparsedctl": {
        "/usr/bin/sparsedctl", "/usr/share/doc/sparsedctl/changelog.gz",
        "/usr/share/doc/sparsedctl/copyright", "/usr/share/man/man1/sparsedctl.1.gz"},
    "sparsed-cuda": {
        "/usr/lib/sparsed/libsparsed_cuda.so", "/usr/share/doc/sparsed-cuda/changelog.gz",
        "/usr/share/doc/sparsed-cuda/copyright"},
}


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True, timeout=120).stdout


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sparsed-packages-")
        cls.addClassCleanup(cls.folder.cleanup)
        out = pathlib.Path(cls.folder.name)
        # Compression is most of the time, and nothing that is looked at here.
        made = subprocess.run(
            ["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", out, "-D",
             "CPACK_DEBIAN_COMPRESSION_TYPE=none"], capture_output=True, text=True, timeout=240)
        assert made.returncode == 0, made.stdout + made.stderr
        cls.packages = {path.name.split("_")[0]: path for path in out.glob("*.deb")}
        cls.roots = {}
        for name, path in cls.packages.items():
            cls.roots[name] = out / name
            run("dpkg-deb", "--raw-extract", path, cls.roots[name])

    def field(self, package, name):
        return run("dpkg-deb", "--field", self.packages[package], name).strip()

    def in_package(self, package, path):
        return self.roots[package] / path.lstrip("/")

    def test_there_are_all_packages_and_no_other(self):
        cuda = {"sparsed-cuda"} if (BUILD / "lib" / "libsparsed_cuda.so").exists() else set()
        self.assertEqual(self.packages.keys(), {"sparsed", "sparsedctl"} | cuda)

    def test_fields(self):
        version = self.field("sparsed", "Version")
        project = re.search(r"project\(sparsed VERSION ([\d.]+)",
                            (ROOT / "CMakeLists.txt").read_text())[1]
        # A tag's, later than one, or before the first.
        self.assertRegex(version, rf"^(\d[\d.]*(\+\d+\.g[0-9a-f]+)?"
                                  rf"|{re.escape(project)}~\d+\.g[0-9a-f]+)$")
        for name in self.packages:
            self.assertEqual(self.field(name, "Version"), version)
            self.assertEqual(self.field(name, "Architecture"),
                             run("dpkg", "--print-architecture").strip())
            self.assertEqual(self.field(name, "Section"), "net")
            self.assertRegex(self.field(name, "Maintainer"), r"^[\w .]+ <\S+@\S+>$")
            summary, *rest = self.field(name, "Description").splitlines()
            self.assertLess(len(summary), 80)
            self.assertGreaterEqual(len(rest), 2)
            self.assertTrue(all(re.match(r" \S.{,78}$", line) for line in rest))
        # The libraries that the loader asks for, found by their packages.
        for name in ("sparsed", "sparsedctl"):
            for library in ("libc6", "libgrpc++1", "libabsl"):
                self.assertIn(library, self.field(name, "Depends"))
        self.assertEqual(self.field("sparsed", "Recommends"), "sparsedctl")
        if "sparsed-cuda" in self.packages:
            self.assertRegex(self.field("sparsed-cuda", "Depends"),
                             rf"^sparsed \(= {re.escape(version)}\), libcublas-\d+-\d+$")

    def test_files(self):
        for name, package in self.packages.items():
            found = set()
            for line in run("dpkg-deb", "--contents", package).splitlines():
                mode, owner, _, _, _, path = line.split(maxsplit=5)
                self.assertEqual(owner, "root/root", line)
                if mode.startswith("d"):
                    self.assertEqual(mode, "drwxr-xr-x", line)
                    continue
                path = path.removeprefix(".")
                self.assertEqual(mode, "-rwxr-xr-x" if "/bin/" in path else "-rw-r--r--", line)
                found.add(path)
            model = {path for path in found if path.startswith(NANO + "/")}
            self.assertEqual(found - model, FILES[name])
            source = ROOT / "deploy" / "models" / "nano"
            expected = {f"{NANO}/{path.relative_to(source)}" for path in source.rglob("*")
                        if path.is_file() and path.suffix not in (".py", ".pyc")}
            self.assertEqual(model, expected if name == "sparsed" else set())

    def test_settings_survive_an_upgrade(self):
        conffiles = self.in_package("sparsed", "DEBIAN/conffiles").read_text().split()
        self.assertEqual(conffiles, ["/etc/sparsed/sparsed.env"])
        shipped = self.in_package("sparsed", conffiles[0]).read_text()
        self.assertIn(f"\nSPARSED_MODEL={NANO}\n", shipped)
        self.assertTrue(self.in_package("sparsed", NANO + "/config.json").is_file())

    def test_the_unit_starts_what_the_package_has(self):
        unit = self.in_package("sparsed", "/usr/lib/systemd/system/sparsed.service").read_text()
        for key in ("ExecStart", "EnvironmentFile"):
            path = re.search(rf"^{key}=(\S+)", unit, re.MULTILINE)[1]
            self.assertTrue(self.in_package("sparsed", path).is_file(), path)

    def test_scripts(self):
        control = self.in_package("sparsed", "DEBIAN")
        self.assertEqual(sorted(path.name for path in control.iterdir()
                                if path.name in SCRIPTS), SCRIPTS)
        for name in SCRIPTS:
            script = control / name
            self.assertEqual(script.stat().st_mode & 0o777, 0o755)
            run("sh", "-n", script)

    def test_what_is_installed_runs(self):
        server = self.in_package("sparsed", "/usr/bin/sparsed")
        self.assertIn("sparsed ", run(server, "--version"))
        run(server, "serve", "--check-config", "--model", self.in_package("sparsed", NANO))
        # The backend's own folder, and nothing of where it was built.
        dynamic = run("readelf", "--dynamic", server)
        self.assertEqual(re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic),
                         ["$ORIGIN/../lib/sparsed"])
        client = self.in_package("sparsedctl", "/usr/bin/sparsedctl")
        self.assertNotIn("RUNPATH", run("readelf", "--dynamic", client))

    def test_manuals_name_every_command(self):
        for name in ("sparsed", "sparsedctl"):
            told = run(self.in_package(name, f"/usr/bin/{name}"), "--help")
            commands = re.findall(r"^  ([a-z-]+) {2,}", told.split("Subcommands:")[1], re.MULTILINE)
            self.assertGreater(len(commands), 3)
            manual = (ROOT / "deploy" / "package" / f"{name}.1").read_text()
            self.assertEqual(sorted(re.findall(r"^\.TP\n\.B ([a-z-]+)$", manual, re.MULTILINE)),
                             sorted(commands))


class Versions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sparsed-version-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "told.cmake").write_text(
            "set(PROJECT_VERSION 0.1.0)\n"
            f"include({ROOT}/deploy/package/version.cmake)\n"
            'message("${SPARSED_VERSION} ${SPARSED_PACKAGE_VERSION} ${SPARSED_COMMIT}")\n')

    def git(self, *words):
        # Neither a repository around the folder, nor settings of whoever runs this.
        environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(self.folder.parent),
                       "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        return subprocess.run(words, cwd=self.folder, check=True, capture_output=True, text=True,
                              env=environment, timeout=60)

    def told(self, *flags):
        """The version of the program, of the package, and the commit."""
        return self.git("cmake", *flags, "-P", "told.cmake").stderr.split()

    def commit(self):
        self.git("git", "-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet",
                 "--allow-empty", "--message", "x")
        return self.git("git", "rev-parse", "--short=12", "HEAD").stdout.strip()

    def test_without_git_it_is_the_projects(self):
        self.assertEqual(self.told(), ["0.1.0", "0.1.0", "unknown"])
        self.assertEqual(self.told("-DSPARSED_COMMIT=abc"), ["0.1.0", "0.1.0", "abc"])
        self.assertEqual(self.told("-DSPARSED_VERSION=1.2.3"), ["1.2.3", "1.2.3", "unknown"])

    def test_tags_are_versions_and_packages_sort_by_age(self):
        self.git("git", "init", "--quiet")
        self.commit()
        first = self.commit()
        packages = [f"0.1.0~2.g{first}", "0.2.0"]
        self.assertEqual(self.told(), ["0.1.0", packages[0], first])
        self.git("git", "tag", "v0.2.0")
        self.git("git", "tag", "nightly")
        self.git("git", "tag", "v0.3.0-rc1")
        self.assertEqual(self.told()[:2], ["0.2.0", "0.2.0"])
        second = self.commit()
        packages.append(f"0.2.0+1.g{second}")
        self.assertEqual(self.told()[:2], ["0.2.0", packages[2]])
        for older, newer in zip(["0.0.9", *packages], [*packages, "0.2.1~1.gffff"]):
            run("dpkg", "--compare-versions", older, "lt", newer)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
