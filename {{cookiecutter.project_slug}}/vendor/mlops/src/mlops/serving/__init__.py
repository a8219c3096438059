"""The service, batch prediction and the prediction log."""
