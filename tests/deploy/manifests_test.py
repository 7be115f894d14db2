"""Dockerfile, compose file, unit, Kubernetes objects, chart and proxy: they are of the right form,
agree with one another, and name only settings that docs/configuration.md has.

    python tests/deploy/manifests_test.py    needs tests/requirements.txt

The chart's templates are not rendered here (Debian has no helm): its values are checked against their
schema, and the templates' text for blocks that are closed and values that exist.
"""

import json
import pathlib
import re
import subprocess
import sys
import unittest

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "kustomize" / "base"
EXAMPLES = ROOT / "deploy" / "kustomize" / "examples"
CHART = ROOT / "deploy" / "helm" / "sparsed"
KUBERNETES = "1.29"
# Of operators that bring their own schemas, and of kustomize itself.
WITHOUT_SCHEMA = {"ServiceMonitor", "ScaledObject", "Kustomization"}


def load(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def objects(*files):
    """By kind and name."""
    return {(o["kind"], o["metadata"]["name"]): o for file in files for o in load(file)}


def base():
    return objects(*(BASE / name for name in load(BASE / "kustomization.yaml")[0]["resources"]))


def documented_settings():
    """As keys of the JSON file."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    names = re.findall(r"^\| `--([a-z-]+)` \|", page, re.MULTILINE)
    assert len(names) > 30
    return {name.replace("-", "_") for name in names}


def drain_seconds(settings):
    return settings["drain_delay_seconds"] + settings["drain_timeout_seconds"]


class Yaml(unittest.TestCase):
    def test_yamllint_finds_nothing(self):
        files = [path for folder in ("deploy", "docker", "tests/deploy")
                 for ending in ("yml", "yaml") for path in (ROOT / folder).rglob("*." + ending)
                 if CHART / "templates" not in path.parents]
        self.assertGreater(len(files), 15)
        ran = subprocess.run([sys.executable, "-m", "yamllint", "--strict", "--config-file",
                              ROOT / "tests" / "deploy" / "yamllint.yml", *files],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)


class Kubernetes(unittest.TestCase):
    def test_objects_are_of_their_schemas(self):
        files = [*BASE.glob("*.yaml"), *EXAMPLES.glob("*.yaml")]
        found = [o for file in files for o in load(file) if o["kind"] not in WITHOUT_SCHEMA]
        self.assertGreater(len(found), 7)
        for o in found:
            with self.subTest(o["kind"]):
                kubernetes_validate.validate(o, KUBERNETES, strict=True)

    def test_unknown_fields_are_found(self):
        o = base()["Deployment", "sparsed"]
        o["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(o, KUBERNETES, strict=True)

    def test_every_file_is_listed(self):
        for folder in (BASE, EXAMPLES / "llada-8b-gpu"):
            listing = load(folder / "kustomization.yaml")[0]
            listed = {name for name in listing["resources"] if name.endswith(".yaml")}
            listed |= {patch["path"] for patch in listing.get("patches", ())}
            self.assertEqual(listed, {path.name for path in folder.glob("*.yaml")}
                             - {"kustomization.yaml"})

    def test_names_and_labels_agree(self):
        all_of_them = base()
        deployment = all_of_them["Deployment", "sparsed"]["spec"]
        pod = deployment["template"]["spec"]
        labels = deployment["template"]["metadata"]["labels"].items()
        selectors = [deployment["selector"]["matchLabels"],
                     all_of_them["Service", "sparsed"]["spec"]["selector"],
                     all_of_them["Service", "sparsed-headless"]["spec"]["selector"],
                     all_of_them["PodDisruptionBudget", "sparsed"]["spec"]["selector"]["matchLabels"],
                     all_of_them["NetworkPolicy", "sparsed"]["spec"]["podSelector"]["matchLabels"]]
        for selector in selectors:
            self.assertLessEqual(selector.items(), labels)
        self.assertIn(("ServiceAccount", pod["serviceAccountName"]), all_of_them)
        self.assertEqual(all_of_them["Service", "sparsed-headless"]["spec"]["clusterIP"], "None")
        container = pod["containers"][0]
        ports = {port["name"] for port in container["ports"]}
        used = {port["targetPort"] for kind, name in all_of_them if kind == "Service"
                for port in all_of_them[kind, name]["spec"]["ports"]}
        used |= {port["port"] for rule in all_of_them["NetworkPolicy", "sparsed"]["spec"]["ingress"]
                 for port in rule["ports"]}
        used |= {container[probe]["httpGet"]["port"]
                 for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
        self.assertEqual(used, ports)
        volumes = {volume["name"] for volume in pod["volumes"]}
        self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, volumes)

    def test_settings_exist_and_a_drain_has_its_time(self):
        for folder in (BASE, EXAMPLES / "llada-8b-gpu"):
            text = load(folder / "configmap.yaml")[0]["data"]["config.json"]
            settings = json.loads(text)
            self.assertLessEqual(settings.keys(), documented_settings())
            pod = base()["Deployment", "sparsed"]["spec"]["template"]["spec"]
            self.assertGreaterEqual(pod["terminationGracePeriodSeconds"],
                                    drain_seconds(settings) + 10)

    def test_the_container_is_confined(self):
        pod = base()["Deployment", "sparsed"]["spec"]["template"]["spec"]
        self.assertFalse(pod["automountServiceAccountToken"])
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(pod["containers"][0]["securityContext"], {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]}})

    def test_scaling_goes_by_a_metric_that_exists(self):
        page = (ROOT / "docs" / "metrics.md").read_text()
        hpa = objects(EXAMPLES / "hpa.yaml")["HorizontalPodAutoscaler", "sparsed"]["spec"]
        keda = objects(EXAMPLES / "keda.yaml")["ScaledObject", "sparsed"]["spec"]
        names = [hpa["metrics"][0]["pods"]["metric"]["name"],
                 *re.findall(r"sparsed_\w+", keda["triggers"][0]["metadata"]["query"])]
        self.assertEqual(names, ["sparsed_requests_waiting"] * 2)
        self.assertIn(f"`{names[0]}`", page)


class Chart(unittest.TestCase):
    def setUp(self):
        self.values = load(CHART / "values.yaml")[0]
        self.templates = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
        self.text = "\n".join(self.templates.values())

    def test_the_values_are_of_their_schema(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        validator = jsonschema.Draft7Validator(schema)
        validator.check_schema(schema)
        self.assertEqual(list(validator.iter_errors(self.values)), [])
        self.assertEqual(self.values.keys() | {"global"}, schema["properties"].keys())
        for wrong in ({"nope": 1}, {"config": {**self.values["config"], "model": "/x"}},
                      {"model": {"source": "pvc", "path": "/usr/share/x"}}, {"gpu": {"count": -1}}):
            self.assertFalse(validator.is_valid({**self.values, **wrong}), wrong)

    def test_settings_exist(self):
        own = set(re.findall(r'(?:dict|set \$own) "([a-z_]+)"', self.text))
        own |= set(re.findall(r'"(\w+_address)"', self.text))
        self.assertEqual(len(own), 7)
        self.assertLessEqual(own | self.values["config"].keys(), documented_settings())

    def test_the_defaults_are_those_of_the_base(self):
        settings = json.loads(load(BASE / "configmap.yaml")[0]["data"]["config.json"])
        self.assertLessEqual(self.values["config"].items(), settings.items())
        self.assertEqual(self.values["model"]["path"], settings["model"])
        spec = base()["Deployment", "sparsed"]["spec"]
        container = spec["template"]["spec"]["containers"][0]
        version = load(CHART / "Chart.yaml")[0]["appVersion"]
        self.assertEqual(f"{self.values['image']['repository']}:{version}", container["image"])
        self.assertEqual(self.values["resources"], container["resources"])
        self.assertEqual(self.values["replicas"], spec["replicas"])
        kinds = set(re.findall(r"^kind: (\w+)$", self.text, re.MULTILINE))
        self.assertEqual({kind for kind, _ in base()}
                         | {"HorizontalPodAutoscaler", "ScaledObject", "ServiceMonitor"}, kinds)

    def test_blocks_are_closed(self):
        for name, text in self.templates.items():
            self.assertEqual(text.count("{{"), text.count("}}"), name)
            depth = 0
            for word in re.findall(r"\{\{-?\s*(if|with|range|define|end)\b", text):
                depth += -1 if word == "end" else 1
                self.assertGreaterEqual(depth, 0, name)
            self.assertEqual(depth, 0, name)
            self.assertEqual(text.count("("), text.count(")"), name)

    def test_values_and_helpers_exist_and_are_used(self):
        for path in set(re.findall(r"\.Values\.([\w.]+)", self.text)):
            at = self.values
            for key in path.split("."):
                # resources.requests and what is as free is an object that may lack the key.
                self.assertIn(key, at, path)
                at = at[key]
        used = {path.split(".")[0] for path in re.findall(r"\.Values\.([\w.]+)", self.text)}
        self.assertEqual(used, self.values.keys())
        defined = set(re.findall(r'define "([\w.]+)"', self.text))
        self.assertEqual(set(re.findall(r'include "([\w.]+)"', self.text)), defined)


class Compose(unittest.TestCase):
    def setUp(self):
        self.compose = load(ROOT / "docker" / "compose.yaml")[0]
        self.services = self.compose["services"]

    def test_everything_is_confined_and_on_the_loopback(self):
        for name, service in self.services.items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)
            for port in service["ports"]:
                self.assertTrue(port.startswith("127.0.0.1:"), name)
        for name in ("sparsed-cpu", "sparsed-gpu"):
            self.assertEqual(self.services[name]["user"], "65532:65532")

    def test_mounted_files_exist(self):
        mounts = [mount.split(":")[0] for service in self.services.values()
                  for mount in service["volumes"]]
        files = [mount for mount in mounts if mount.startswith(".")]
        self.assertEqual(len(files), 4)
        for file in files:
            self.assertTrue((ROOT / "docker" / file).exists(), file)

    def test_the_server_is_found_by_its_name(self):
        config = load(ROOT / "deploy" / "prometheus" / "prometheus.yml")[0]
        target = config["scrape_configs"][0]["static_configs"][0]["targets"]
        for name in ("sparsed-cpu", "sparsed-gpu"):
            aliases = self.services[name]["networks"]["default"]["aliases"]
            self.assertEqual(target, [alias + ":8002" for alias in aliases])
            flags = {word[2:].split("=")[0].replace("-", "_")
                     for word in self.services[name]["command"] if word.startswith("--")}
            self.assertEqual(len(flags), 3)
            self.assertLessEqual(flags, documented_settings())


def dockerfile_stages():
    """By name: the base, and the instructions, each a word and what follows it on one line."""
    text = (ROOT / "docker" / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    stages, arguments, current = {}, {}, None
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, name = re.match(r"(\S+) AS (\S+)$", rest).groups()
            base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], base)
            current = stages[name] = (base, [])
        elif current is None:
            assert word == "ARG", line
            arguments.update([rest.split("=", 1)])
        else:
            current[1].append((word, rest))
    return stages


class Dockerfile(unittest.TestCase):
    def setUp(self):
        self.stages = dockerfile_stages()

    def test_hadolint_finds_nothing(self):
        ran = subprocess.run([pathlib.Path(sys.executable).with_name("hadolint"), "--no-color",
                              ROOT / "docker" / "Dockerfile"],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def inherited(self, name):
        """The instructions of a stage and of those that it is made from, the first ones first."""
        base, own = self.stages[name]
        return (self.inherited(base) if base in self.stages else []) + own

    def test_copied_from_stages_that_come_before(self):
        names, copies = list(self.stages), 0
        for at, (base, instructions) in enumerate(self.stages.values()):
            self.assertTrue(base in names[:at] or re.match(r"[a-z/]+:[\w.-]+$", base), base)
            for word, rest in instructions:
                source = re.match(r"--from=(\S+) ", rest)
                if word == "COPY" and source:
                    self.assertIn(source[1], names[:at])
                    copies += 1
        self.assertGreater(copies, 2)

    def test_what_is_copied_is_not_ignored(self):
        lines = (ROOT / ".dockerignore").read_text().split()
        self.assertEqual(lines[0], "*")
        kept = tuple(line[1:] for line in lines if line.startswith("!"))
        for _, instructions in self.stages.values():
            for word, rest in instructions:
                if word != "COPY" or rest.startswith(("--from=", ". ")):
                    continue
                for path in rest.split()[:-1]:
                    self.assertTrue(path.startswith(kept), path)
                    self.assertTrue((ROOT / path).exists(), path)
        # Whatever the build reads: a folder that CMake is not given ends it.
        cmake = (ROOT / "CMakeLists.txt").read_text()
        for folder in set(re.findall(r"add_subdirectory\((\S+)\)", cmake)) - {"tests"}:
            self.assertTrue(folder.startswith(kept), folder)

    def test_targets_are_confined_and_differ_in_programs_alone(self):
        compose = load(ROOT / "docker" / "compose.yaml")[0]["services"]
        targets = [compose[name]["build"]["target"] for name in ("sparsed-cpu", "sparsed-gpu")]
        self.assertEqual(targets, ["cpu", "cuda"])
        for target in targets:
            instructions = self.inherited(target)
            last = dict(instructions)  # of each instruction the last one counts
            self.assertEqual(last["USER"], "65532:65532")
            self.assertEqual(json.loads(last["ENTRYPOINT"]), ["/usr/bin/sparsed"])
            self.assertEqual(last["STOPSIGNAL"], "SIGTERM")
            self.assertIn('["/usr/bin/sparsedctl", "health"]', last["HEALTHCHECK"])
            flags = {word[2:].replace("-", "_") for word in json.loads(last["CMD"])
                     if word.startswith("--")}
            self.assertLessEqual(flags, documented_settings())
            self.assertFalse([rest for word, rest in instructions
                              if word == "RUN" and re.search(r"\bcmake\b|g\+\+ ", rest)])
            # Where image_test.py puts what is installed from a build that is there.
            self.assertIn(("COPY", f"--from={'build' if target == 'cpu' else 'build-cuda'} /installed/ /"),
                          self.stages[target][1])

    def test_the_image_of_a_gpu_brings_what_its_backend_loads(self):
        linked = (ROOT / "kernels" / "cuda" / "CMakeLists.txt").read_text()
        shared = set(re.findall(r"CUDA::(\w+)", linked)) - {"cudart_static"}
        built = " ".join(rest for _, rest in self.stages["build-cuda"][1])
        self.assertEqual(set(re.findall(r"lib64/lib(\w+)\.so", built)), shared)


class Others(unittest.TestCase):
    def test_the_unit_has_settings_that_exist_and_time_to_drain(self):
        folder = ROOT / "deploy" / "systemd"
        names = re.findall(r"^#?SPARSED_(\w+)=", (folder / "sparsed.env").read_text(), re.MULTILINE)
        self.assertEqual(len(names), 7)
        self.assertLessEqual({name.lower() for name in names}, documented_settings())
        unit = (folder / "sparsed.service").read_text()
        defaults = dict(re.findall(r"^\| `--(drain-\w+-seconds)` \| [^|]+ \| `(\d+)` \|",
                                   (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE))
        self.assertEqual(len(defaults), 2)
        self.assertIn(f"TimeoutStopSec={sum(map(int, defaults.values())) + 10}\n", unit)

    def test_the_proxy_balances_over_the_headless_service(self):
        cluster = load(ROOT / "deploy" / "envoy" / "envoy.yaml")[0]["static_resources"]["clusters"][0]
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        address = endpoint["address"]["socket_address"]
        service = base()["Service", address["address"]]["spec"]
        self.assertEqual(service["clusterIP"], "None")
        self.assertIn(address["port_value"], [port["port"] for port in service["ports"]])
        health = cluster["health_checks"][0]["grpc_health_check"]["service_name"]
        proto = (ROOT / "proto" / "sparsed" / "v1" / "generation.proto").read_text()
        package, name = health.rsplit(".", 1)
        self.assertIn(f"package {package};", proto)
        self.assertIn(f"service {name} ", proto)


if __name__ == "__main__":
    unittest.main()
