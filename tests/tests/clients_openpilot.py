"""Has openpilot's lpa.py, which is not changed, do one thing after another, and prints what came of each as a line of JSON.

Its device needs the rest of openpilot for a name or two; these stand in for it.
"""

import json
import sys
import types
from dataclasses import dataclass


class LPAError(RuntimeError):
    pass


class LPAProfileNotFoundError(LPAError):
    pass


@dataclass
class Profile:
    iccid: str
    nickname: str
    enabled: bool
    provider: str
    is_comma: bool = False


class LPABase:
    def is_comma_profile(self, iccid):
        return False


class Hardware:
    def get_device_type(self):
        return "tizi"


def stand_in():
    names = {
        "LPABase": LPABase, "LPAError": LPAError, "LPAProfileNotFoundError": LPAProfileNotFoundError, "Profile": Profile,
        "HARDWARE": Hardware(), "system_time_valid": lambda: True,
    }
    for name in [
        "openpilot", "openpilot.common", "openpilot.common.time_helpers", "openpilot.common.esim", "openpilot.common.esim.base",
        "openpilot.common.hardware", "openpilot.system", "openpilot.system.hardware", "openpilot.system.hardware.base",
    ]:
        module = types.ModuleType(name)
        module.__dict__.update(names, __path__=[])
        sys.modules[name] = module


def main(path, device, lock, bundle, *steps):
    stand_in()
    lpa = types.ModuleType("lpa")
    lpa.__file__ = path
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), lpa.__dict__)
    # Its device is in no hurry either: a card that was built to be debugged, on a machine that does other things, is slower than 5 s.
    lpa.DEFAULT_TIMEOUT, lpa.HTTP_TIMEOUT = 300, 300
    lpa.DEFAULT_DEVICE, lpa.LOCK_FILE, lpa.GSMA_CI_BUNDLE = device, lock, bundle
    one = lpa.TiciLPA()
    for step in steps:
        function, *arguments = json.loads(step)
        try:
            result = getattr(one, function)(*arguments)
            if function == "list_profiles":
                result = [[profile.iccid, profile.nickname, profile.enabled] for profile in result]
            said = {"ok": result}
        except Exception as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


main(*sys.argv[1:])
