"""What kind of file system a folder lies on, as far as Linux says."""

from __future__ import annotations

from pathlib import Path

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.rclone", "glusterfs", "ceph"}


def on_network(folder: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether other machines may change the folder: its file system is one of the network's (known on Linux only)."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    found = [line.split()[1:3] for line in lines]
    real = folder.resolve()
    holding = [(len(point), kind) for point, kind in found if real.is_relative_to(point.replace("\\040", " "))]
    return bool(holding) and max(holding)[1] in _NETWORK
