"""Every file that a run holds, against the digests that its manifests and records hold."""
