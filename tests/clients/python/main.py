"""Drives a server and its node with the unmodified `kubernetes` client; KUBECONFIG says where it is."""
import importlib
import sys

from kubernetes import config

import checks

config.load_kube_config()
importlib.import_module("objects")
importlib.import_module("pods")
sys.exit(checks.failed)
