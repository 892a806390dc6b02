"""The system calls no program may make, as a seccomp filter (classic BPF).

A list of refusals, not of permissions: the walls are namespaces or Landlock, and this closes what
they leave open. Every tier refuses the same calls, so that a verdict does not depend on the tier;
``landlock``, which hides nothing, also refuses to touch the attributes of the host's files.
"""

import errno
import platform
import struct

# Numbers for x86-64 and arm64; None where the architecture has no such call.
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
_Numbers = tuple[int | None, int | None]

# fmt: off
_PROCESSES: dict[str, _Numbers] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "kcmp": (312, 272), "process_madvise": (440, 440),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
}
_CHANNELS: dict[str, _Numbers] = {
    "socket": (41, 198), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}
_KERNEL: dict[str, _Numbers] = {
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "open_tree_attr": (467, 467), "syslog": (103, 116),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}
_HOST_FILES: dict[str, _Numbers] = {  # what Landlock does not (or, before 6.2, did not) govern
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "truncate": (76, 45),
    "inotify_add_watch": (254, 27), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
}
_CLONE3 = (435, 435)
_CLONE, _CLONE_THREAD = (56, 220), 0x10000
_PRLIMIT, _ONESELF = (302, 261), 0
_PRCTL, _PR_SET_PDEATHSIG = (157, 167), 1
_FCNTL, _SET_OWNERS = (72, 25), (8, 15)  # F_SETOWN, F_SETOWN_EX: a pipe may signal any process
_IOCTL, _SET_SOCKET_OWNERS = (16, 29), (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
# fmt: on

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data; two arguments
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000

_Instruction = tuple[int, int, int, int]


def seccomp_filter(*, host_files: bool) -> bytes:
    """The filter's instructions for this machine; empty on an architecture not listed here.

    Args:
        host_files: Also refuse calls that change attributes of files.
    """
    if platform.machine() not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return b""
    column, audit = _ARCHITECTURES[platform.machine()]
    refused = _PROCESSES | _CHANNELS | _KERNEL | (_HOST_FILES if host_files else {})
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL)]
    code += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]
    for numbers in refused.values():
        if (number := numbers[column]) is not None:
            code += [(_EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    # Threads, but no processes. glibc takes ENOSYS as "use clone", whose flags can be looked at.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), _refuse(errno.ENOSYS)]
    code += _if(_CLONE[column], _FIRST, _ANY_BIT, (_CLONE_THREAD,), allow=True)
    code += _if(_PRLIMIT[column], _FIRST, _EQUAL, (_ONESELF,), allow=True)
    code += _if(_PRCTL[column], _FIRST, _EQUAL, (_PR_SET_PDEATHSIG,), allow=False)
    code += _if(_FCNTL[column], _SECOND, _EQUAL, _SET_OWNERS, allow=False)
    code += _if(_IOCTL[column], _SECOND, _EQUAL, _SET_SOCKET_OWNERS, allow=False)
    code += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _refuse(error: int) -> _Instruction:
    return _RETURN, 0, 0, _REFUSE | error


def _if(
    number: int, argument: int, test: int, values: tuple[int, ...], *, allow: bool
) -> list[_Instruction]:
    """Decide call ``number`` by an argument: what to do if the test holds for one of ``values``."""
    then, otherwise = (_RETURN, 0, 0, _ALLOW), _refuse(errno.EPERM)
    if not allow:
        then, otherwise = otherwise, then
    cases = [step for value in values for step in ((test, 0, 1, value), then)]
    return [(_EQUAL, 0, len(cases) + 2, number), (_LOAD, 0, 0, argument), *cases, otherwise]
