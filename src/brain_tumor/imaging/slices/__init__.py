"""What people have, DICOM and NIfTI among it, to grey slices as a radiologist sees them."""
