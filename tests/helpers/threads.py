"""The variables that say how many threads NumPy's libraries, TensorFlow and JAX compute with."""

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
    "PJRT_NPROC", "NPROC",
)  # fmt: skip
