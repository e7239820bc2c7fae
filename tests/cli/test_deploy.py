"""lttle deploy: files and directories, variables, what is wrong, what would change."""

import json
import re
import subprocess

from conftest import TOP
from test_cli import FAILURE, GUIDE_FILE, OK, USAGE, ends


def test_deploy_prints_what_is_wrong_as_compilers_do(coordinator, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(GUIDE_FILE.replace("100Mi", "much").replace("cpu: 1", "cpus: 1"))
    done = coordinator.cli("deploy", path)
    assert (done.returncode, done.stdout) == (FAILURE, b"")
    lines = done.stderr.decode().splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith(f"{path}:5:9: volume.size: ") and "much" in lines[0]
    assert all(re.match(re.escape(str(path)) + r":\d+:\d+: [a-z.]+: ", line) for line in lines), lines
    path.write_text(GUIDE_FILE)
    assert coordinator.cli("deploy", path).stdout.startswith(b"Successfully"), "something was applied before"


def test_deploy_from_standard_input(coordinator):
    ends(coordinator.cli("deploy", "-", input=GUIDE_FILE.split("---")[0].encode()), OK,
         "Successfully deployed volume: samples/pgdata\n")
    assert coordinator.cli("deploy", "-", input=b"x: y\n").stderr.startswith(b"<stdin>:1:1: ")


def test_deploy_of_what_cannot_be_read(coordinator, tmp_path):
    ends(coordinator.cli("deploy", tmp_path / "none"), FAILURE,
         err=f"lttle: {tmp_path}/none: No such file or directory\n")
    ends(coordinator.cli("deploy", tmp_path), FAILURE, err=f"lttle: {tmp_path}: is a directory; -r takes all files in it\n")
    big = tmp_path / "big"
    big.write_bytes(b"#" * ((1 << 20) + 1))
    ends(coordinator.cli("deploy", big), FAILURE, err=f"lttle: {big}: is longer than 1 MiB\n")


def volume(name, size="16Mi"):
    return f"volume: {{name: {name}, size: {size}}}\n"


def test_deploy_of_several_files_and_directories(coordinator, tmp_path):
    (tmp_path / "many/deeper").mkdir(parents=True)
    (tmp_path / "many/b.yml").write_text(volume("b"))
    (tmp_path / "many/a.lttle.yaml").write_text(volume("a"))
    (tmp_path / "many/deeper/c.yaml").write_text(volume("c"))
    (tmp_path / "many/.hidden.yaml").write_text("x")
    (tmp_path / "many/README").write_text("x")
    (tmp_path / "one.yaml").write_text(volume("one"))
    done = coordinator.cli("deploy", "--json", "-r", tmp_path / "one.yaml", tmp_path / "many")
    assert [result["name"] for result in json.loads(done.stdout)["results"]] == ["one", "a", "b", "c"]
    # All or nothing, and every complaint is of its own file.
    (tmp_path / "two.yaml").write_text(volume("two"))
    (tmp_path / "many/b.yml").write_text("---\n" + volume("b", "much"))
    done = coordinator.cli("deploy", "-r", tmp_path / "two.yaml", tmp_path / "many")
    assert (done.returncode, done.stdout) == (FAILURE, b"")
    assert done.stderr.decode().startswith(f"{tmp_path}/many/b.yml:2:25: volume.size: ")
    assert coordinator.cli("deploy", tmp_path / "two.yaml").stdout == b"Successfully deployed volume: default/two\n"
    (tmp_path / "empty").mkdir()
    ends(coordinator.cli("deploy", "-r", tmp_path / "empty"), FAILURE,
         err=f"lttle: {tmp_path}/empty: holds no file that ends in .yaml or .yml\n")


def test_deploy_with_variables(coordinator, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("volume:\n  name: ${{ var.name }}\n  namespace: ${{ namespace }}\n  size: ${{ var.size }}\n"
                    "  tags: [\"${{ env.LTTLE_TEST_A }}\", \"${{ env.LTTLE_TEST_B.upperAscii() }}\"]\n")
    (tmp_path / "vars").write_text("# comment\n\nname=fromfile\nexport size = '32Mi'\n")
    (tmp_path / "env").write_text('LTTLE_TEST_B="b b"\n')
    environment = {"LTTLE_TEST_A": "from-the-client"}
    arguments = ("--ns", "n", "--vars", tmp_path / "vars", "--env", tmp_path / "env", path)
    ends(coordinator.cli("deploy", "--dry-run", "-v", "name=a=b", *arguments, environment=environment), FAILURE,
         err=f"{path}:2:9: volume.name: a name holds only letters, digits, '-' and '_', but this is 'a=b'\n")
    ends(coordinator.cli("deploy", "-v", "name=first", "-v", "name=second", "--dry-run", *arguments, environment=environment), OK,
         "+ volume n/second\n+   name: second\n+   namespace: n\n+   tags: from-the-client B B\n+   mode: writeable\n"
         "+   size: 32Mi\n")
    ends(coordinator.cli("deploy", *arguments, environment=environment), OK, "Successfully deployed volume: n/fromfile\n")
    ends(coordinator.cli("deploy", "--vars", tmp_path / "vars", path), FAILURE,
         err=f"{path}:5:19: volume.tags[0]: env.LTTLE_TEST_A has no value; set it, or give it with --env FILE\n"
             f"{path}:5:46: volume.tags[1]: env.LTTLE_TEST_B has no value; set it, or give it with --env FILE\n")
    ends(coordinator.cli("deploy", "-v", "name", path), USAGE, err="lttle: -v name: must be NAME=VALUE\n")
    (tmp_path / "vars").write_text("ok=1\nnothing\n")
    ends(coordinator.cli("deploy", "--vars", tmp_path / "vars", path), FAILURE,
         err=f"lttle: {tmp_path}/vars:2: must be NAME=VALUE\n")


def test_deploy_of_a_commit(coordinator, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("volume: {name: \"v${{ git.commitSha.substring(0, 7) }}\", size: 16Mi}\n")
    ends(coordinator.cli("deploy", path), FAILURE,
         err=f"{path}:1:26: volume.name: git.commitSha is not known: the file is in no git repository with a commit\n")
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    commit = subprocess.run(["git", "-C", tmp_path, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    ends(coordinator.cli("deploy", path), OK, f"Successfully deployed volume: default/v{commit[:7]}\n")


def test_deploy_that_only_looks(coordinator, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(volume("dry"))
    assert coordinator.cli("deploy", "--dry-run", path).stdout.startswith(b"+ volume default/dry\n")
    ends(coordinator.cli("deploy", path), OK, "Successfully deployed volume: default/dry\n")
    ends(coordinator.cli("deploy", "--dry-run", path), OK, "Nothing would change.\n")
    path.write_text(volume("dry", "32Mi"))
    ends(coordinator.cli("deploy", "--dry-run", path), OK, "~ volume default/dry\n    size: 16Mi → 32Mi\n")
    ends(coordinator.cli("deploy", "--dry-run", path), OK, "~ volume default/dry\n    size: 16Mi → 32Mi\n")
    answer = json.loads(coordinator.cli("deploy", "--dry-run", "--json", path).stdout)
    assert answer["results"][0]["changes"] == ["size: 16Mi → 32Mi"]


def test_deploy_says_what_only_a_registry_knows(coordinator, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(volume("moving"))
    ends(coordinator.cli("deploy", path), OK, "Successfully deployed volume: default/moving\n")
    ends(coordinator.cli("deploy", path), OK, "Unchanged volume: default/moving\n  image: its registry is asked\n")
    ends(coordinator.cli("deploy", "--dry-run", path), OK, "? volume default/moving\n?   image: its registry is asked\n")
    path.write_text(volume("moving", "32Mi"))
    ends(coordinator.cli("deploy", "--dry-run", path), OK,
         "~ volume default/moving\n    size: 16Mi → 32Mi\n?   image: its registry is asked\n")


def test_deploy_json(coordinator):
    done = coordinator.cli("deploy", "--json", "-", input=GUIDE_FILE.encode())
    assert [result["action"] for result in json.loads(done.stdout)["results"]] == ["created", "created"]


def test_deploy_of_what_goes_away_meanwhile(coordinator):
    done = coordinator.cli("deploy", "-", input=GUIDE_FILE.replace("name: postgresql", "name: gone").encode())
    assert (done.returncode, done.stdout) == (FAILURE, b"Successfully deployed volume: samples/pgdata\n")
    assert done.stderr.endswith(b"lttle: app samples/gone: is gone: somebody has deleted it\n")
    assert coordinator.cli("deploy", "--no-wait", "-", input=GUIDE_FILE.encode()).returncode == OK
    assert coordinator.cli("deploy", "--timeout", "soon", "-", input=GUIDE_FILE.encode()).returncode == USAGE


def test_the_example_of_several_machines(coordinator):
    path = TOP / "examples/several.lttle.yaml"
    done = coordinator.cli("deploy", "--dry-run", "-v", "password=secret", path)
    assert done.returncode == OK, done.stderr
    named = [line for line in done.stdout.decode().splitlines() if line.startswith("+ ") and "/" in line and ":" not in line]
    assert named == ["+ volume shop/data", "+ app shop/database", "+ app shop/site", "+ service reports/shop"]
    done = coordinator.cli("deploy", "--dry-run", path)
    assert done.returncode != OK and b"var.password" in done.stderr
