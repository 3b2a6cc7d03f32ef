"""What pyproject.toml cannot say: salmu_torchvision.pth lies in site-packages beside the package, where Python reads it
when it starts (data/torchvision_compat.py says what for)."""

import os

from setuptools import setup
from setuptools.command.build_py import build_py

AT_START = "data/salmu_torchvision.pth"


class BuildWithStart(build_py):
    def run(self):
        super().run()
        # an editable wheel is not made of build_lib: what is to lie in site-packages goes to its root
        root = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.copy_file(AT_START, root)

    def get_outputs(self, include_bytecode=True):
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, os.path.join(self.build_lib, os.path.basename(AT_START))]


setup(cmdclass={"build_py": BuildWithStart})
