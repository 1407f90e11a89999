"""Load files of samples, labels and references; watch directories and buckets for new files."""
