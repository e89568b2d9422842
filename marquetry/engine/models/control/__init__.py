"""Control: networks that steer a denoiser by a picture, one file for each kind; found by scanning for `KIND`."""
