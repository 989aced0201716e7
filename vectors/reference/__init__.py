# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A second implementation of the pairwise protocol, written from docs/spec and from nothing else."""
