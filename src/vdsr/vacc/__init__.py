"""A folder for the VACC accelerator of Vastai, whose tools are not on this machine.

Facts about those tools are from https://github.com/Vastai/VastModelZOO
(cv/super_resolution/vdsr, commit 43aff36) and https://github.com/Vastai/VastStreamX-Samples.
"""
