"""A web page and an API over one open model: `vdsr serve`."""
