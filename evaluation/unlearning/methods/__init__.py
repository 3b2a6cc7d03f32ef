"""One unlearning method a file, found without further words; see evaluation/unlearning/method.py."""
