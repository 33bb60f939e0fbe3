# The untrained network; its batch norm is calibrated on training images before it is evaluated.
_base_ = ["./vicreg.py"]

max_epochs = 0
train_cfg = dict(max_epochs=max_epochs)
