"""Quality by the field's protocols."""
