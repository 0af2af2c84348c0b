__version__ = "0.1.0"  # of the whole project; manifests name it
