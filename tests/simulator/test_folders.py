"""Folders in the simulator: names, levels, what a list shows, and that only an empty folder is deleted."""

import json

import pytest

from tests.simulator.tenant import ME, OTHER, Tenant, code_of

NOBODY = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c99"


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time."""
    return Tenant()


@pytest.fixture
def root(t: Tenant) -> str:
    """Return the path of the folders of a workspace."""
    return f"/v1/workspaces/{t.workspace()}/folders"


def add(t: Tenant, root: str, name: str, parent: str | None = None) -> str:
    """Create a folder, and return its id."""
    reply = t.call("POST", root, {"displayName": name, "parentFolderId": parent})
    assert reply.status == 201, reply
    return json.loads(reply.body)["id"]


def names(t: Tenant, url: str) -> list[str]:
    """Return the names of the rows of a list."""
    return [row["displayName"] for row in t.get(url)["value"]]


def test_folder_list_shows_all_levels_or_one(t: Tenant, root: str) -> None:
    """The list shows everything below the root folder, or only what is directly below; so does the list of items."""
    one = add(t, root, "one")
    two = add(t, root, "two", one)
    add(t, root, "three", two)
    workspace = root.split("/")[3]
    for name, folder in (("top", None), ("in one", one), ("in two", two)):
        t.item(workspace, name=name, folderId=folder)
    items = f"/v1/workspaces/{workspace}/items"
    assert names(t, root) == names(t, f"{root}/?recursive=True") == ["one", "two", "three"]
    assert names(t, f"{root}?recursive=false") == ["one"]
    assert names(t, f"{root}?rootFolderId={one}") == ["two", "three"]
    assert names(t, f"{root}?rootFolderId={one}&recursive=False") == ["two"]
    assert names(t, items) == ["top", "in one", "in two"]
    assert names(t, f"{items}?recursive=false") == ["top"]
    assert names(t, f"{items}?rootFolderId={one}") == ["in one", "in two"]
    assert names(t, f"{items}?rootFolderId={one}&recursive=false") == ["in one"]
    for url in (f"{root}?rootFolderId={NOBODY}", f"{items}?rootFolderId={NOBODY}"):
        reply = t.call("GET", url)
        assert (reply.status, code_of(reply)) == (404, "FolderNotFound")


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "a:b", "a&b", "a\x07", "Recycler", "x" * 256])
def test_folder_name_must_be_valid(t: Tenant, root: str, name: str) -> None:
    """A folder cannot have a name that Fabric's documentation excludes, neither at first nor later."""
    folder = add(t, root, "x" * 255)
    for method, url in (("POST", root), ("PATCH", f"{root}/{folder}")):
        reply = t.call(method, url, {"displayName": name})
        assert (reply.status, code_of(reply)) in ((400, "InvalidFolderDisplayName"), (400, "InvalidInput"))
    assert names(t, root) == ["x" * 255]


def test_folder_name_is_unique_below_its_parent(t: Tenant, root: str) -> None:
    """The name is taken in one folder, whatever its case, and free in another; its own name is always free."""
    one, two = add(t, root, "one"), add(t, root, "two")
    add(t, root, "one", one)
    for reply in (
        t.call("POST", root, {"displayName": "ONE"}),
        t.call("PATCH", f"{root}/{two}", {"displayName": "One"}),
    ):
        assert code_of(reply) == "FolderDisplayNameAlreadyInUse"
    assert t.call("PATCH", f"{root}/{one}", {"displayName": "ONE"}).status == 200
    reply = t.call("POST", f"{root}/{add(t, root, 'ONE', two)}/move", {"targetFolderId": None})
    assert code_of(reply) == "FolderDisplayNameAlreadyInUse"


def test_folder_has_at_most_ten_levels(t: Tenant, root: str) -> None:
    """An eleventh level is refused, whether it is created or moved there."""
    top = parent = add(t, root, "1")
    for level in range(2, 11):
        parent = add(t, root, str(level), parent)
    assert code_of(t.call("POST", root, {"displayName": "11", "parentFolderId": parent})) == "FolderDepthOutOfRange"
    other = add(t, root, "other")
    reply = t.call("POST", f"{root}/{top}/move", {"targetFolderId": other})
    assert code_of(reply) == "FolderDepthOutOfRange"


def test_folder_is_not_moved_into_itself(t: Tenant, root: str) -> None:
    """A folder cannot be moved below itself, and can be moved to the top."""
    one = add(t, root, "one")
    two = add(t, root, "two", one)
    for target in (one, two):
        reply = t.call("POST", f"{root}/{one}/move", {"targetFolderId": target})
        assert code_of(reply) == "InfiniteFolderHierarchyLoop"
    reply = t.call("POST", f"{root}/{two}/move", {"targetFolderId": ""})
    assert json.loads(reply.body) == {"id": two, "displayName": "two", "workspaceId": root.split("/")[3]}


def test_folder_is_deleted_only_if_it_is_empty(t: Tenant, root: str) -> None:
    """A folder with a folder or an item in it is kept."""
    one = add(t, root, "one")
    two = add(t, root, "two", one)
    workspace = root.split("/")[3]
    item = t.item(workspace, folderId=two)
    for folder in (one, two):
        reply = t.call("DELETE", f"{root}/{folder}")
        assert (reply.status, code_of(reply)) == (400, "FolderNotEmpty")
        assert json.loads(reply.body)["relatedResource"] == {"resourceId": folder, "resourceType": "Folder"}
    t.call("DELETE", f"/v1/workspaces/{workspace}/items/{item}")
    for folder in (two, one):
        assert t.call("DELETE", f"{root}/{folder}").status == 200
        assert t.call("GET", f"{root}/{folder}").status == 404


def test_folder_of_a_new_item_must_exist(t: Tenant, root: str) -> None:
    """An item is created in a folder of its own workspace; an empty id means the top."""
    items = f"/v1/workspaces/{root.split('/')[3]}/items"
    elsewhere = add(t, f"/v1/workspaces/{t.workspace('other')}/folders", "one")
    for folder in (NOBODY, elsewhere, "one"):
        reply = t.call("POST", items, {"type": "DataPipeline", "displayName": "i", "folderId": folder})
        assert (reply.status, code_of(reply)) == (404, "FolderNotFound")
    for i, folder in enumerate(("", None, "00000000-0000-0000-0000-000000000000")):
        reply = t.call("POST", items, {"type": "DataPipeline", "displayName": f"i{i}", "folderId": folder})
        assert "folderId" not in json.loads(reply.body)


def test_folder_receives_items_together_with_their_endpoints(t: Tenant, root: str) -> None:
    """A lakehouse is moved with its SQL endpoint, which cannot be moved alone; a move of several is all or none."""
    workspace, folder = root.split("/")[3], add(t, root, "one")
    items = f"/v1/workspaces/{workspace}/items"
    lakehouse, pipeline = t.item(workspace, "Lakehouse", "l"), t.item(workspace)
    endpoint = next(row["id"] for row in t.get(items)["value"] if row["type"] == "SQLEndpoint")
    reply = t.call("POST", f"{items}/{endpoint}/move", {"targetFolderId": folder})
    assert code_of(reply) == "CannotMoveChildOnly"
    reply = t.call("POST", f"{items}/bulkMove", {"items": [pipeline, NOBODY], "targetFolderId": folder})
    assert code_of(reply) == "ItemNotFound"
    assert names(t, f"{items}?rootFolderId={folder}") == []
    reply = t.call("POST", f"{items}/{lakehouse}/move", {"targetFolderId": folder})
    assert {row["id"] for row in json.loads(reply.body)["value"]} == {lakehouse, endpoint}
    assert {row["id"] for row in t.get(f"{items}?rootFolderId={folder}")["value"]} == {lakehouse, endpoint}
    assert code_of(t.call("POST", f"{items}/bulkMove", {"items": [pipeline] * 51})) == "InvalidInput"


def test_folder_is_changed_by_contributors_only(t: Tenant, root: str) -> None:
    """A viewer may read folders, and change none."""
    workspace, folder = root.split("/")[3], add(t, root, "one")
    principal = {"id": OTHER, "type": "User"}
    t.call("POST", f"/v1/workspaces/{workspace}/roleAssignments", {"principal": principal, "role": "Viewer"})
    assert t.call("GET", root, identity=OTHER).status == 200
    for method, url, body in (
        ("POST", root, {"displayName": "two"}),
        ("PATCH", f"{root}/{folder}", {"displayName": "two"}),
        ("DELETE", f"{root}/{folder}", None),
        ("POST", f"{root}/{folder}/move", {}),
    ):
        assert t.call(method, url, body, identity=OTHER).status == 403, (method, url)
        assert t.call("GET", f"{root}/{folder}", identity=ME).status == 200
