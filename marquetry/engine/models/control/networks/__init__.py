"""Networks of control that diffusers has with other sizes only; imported when one is built."""
