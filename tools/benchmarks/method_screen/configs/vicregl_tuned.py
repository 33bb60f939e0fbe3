# VICRegL with the dense features that OTCXR has, and with what served it better here than its published form: only the
# closest matches by feature, and the covariance weighed as in VICReg.
_base_ = ["./vicregl_two_stages.py"]

model = dict(feature_matches=20 / 49, cov_weight=1.0)
