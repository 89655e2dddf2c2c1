"""The embedded default: labelled phantom slices made from the MNI152 template and a seed."""
