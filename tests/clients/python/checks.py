"""Prints "ok python: WHAT" or "not ok python: WHAT" for each function that @check is put before."""
import os
import time
import traceback

import kubernetes

failed = False


def check(what):
    def run(test):
        global failed
        try:
            test()
        except Exception as error:  # whatever it is, the next check goes on
            failed = True
            print(f"not ok python: {what}")
            lines = traceback.format_exception_only(error) + traceback.format_tb(error.__traceback__)[-2:]
            for line in "".join(lines).splitlines()[:14]:
                print(f"  # {line[:300]}")
        else:
            print(f"ok python: {what}", flush=True)
        return test

    return run


def want(have, wanted):
    if have != wanted:
        raise AssertionError(f"{have!r} instead of {wanted!r}")


def refused(status, call, *args, **kwargs):
    """What the server says when it refuses the call."""
    try:
        call(*args, **kwargs)
    except kubernetes.client.exceptions.ApiException as error:
        want(error.status, status)
        return str(error.body)
    raise AssertionError(f"not refused with {status}")


def eventually(seconds, condition):
    until = time.monotonic() + seconds * int(os.environ.get("E2E_PATIENCE", "1"))
    while not (result := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.1)
    return result
