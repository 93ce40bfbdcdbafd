"""pskd: progressive cross-modal knowledge distillation, from skeletons to a smartwatch.

An independent implementation of PSKD (Ni, Ngu, Yan, ACM MM 2022, arXiv 2208.08090).
"""

__version__ = "0.1.0"
