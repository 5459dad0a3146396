"""What the model looks at while it decides: shares of attention by segment, layer and head."""
